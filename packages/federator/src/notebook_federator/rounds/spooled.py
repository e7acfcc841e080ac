"""Arrays of a reply that stay on disk until they are asked for."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from nbfed_site.contracts import Array
from nbfed_site.link.pack import Slot, array_at

from .object_store import SpillingStore
from .run_file import RunFile

_MAPPED_BYTES = 1 << 20


class SpooledArrays(Mapping[str, Array]):
    """Named arrays in a file; large ones are mapped (and cannot be written to), small ones are read.

    A mapped array keeps the file from being used again for as long as it lives.
    """

    def __init__(self, file: RunFile, slots: Sequence[Slot], store: SpillingStore) -> None:
        self._file, self._store = file, store
        self._slots = {slot.name: slot for slot in slots}

    def __getitem__(self, name: str) -> Array:
        slot = self._slots[name]
        if slot.nbytes < _MAPPED_BYTES:
            data = os.pread(self._file.descriptor, slot.nbytes, slot.offset)
            return array_at(slot, np.frombuffer(data, np.uint8), slot.offset)
        start = slot.offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        length = slot.offset + slot.nbytes - start
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        mapped = mmap.mmap(self._file.descriptor, length, flags, mmap.PROT_READ, offset=start)
        self._store.use(self._file)
        weakref.finalize(mapped, self._store.drop, self._file)
        return array_at(slot, np.frombuffer(mapped, np.uint8), start)

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)
