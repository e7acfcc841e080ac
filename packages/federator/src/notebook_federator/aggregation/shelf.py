"""Named arrays in an anonymous temporary file, read and written in pieces."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from nbfed_site.contracts import Array, StorageFull


class Shelf(Mapping[str, Array]):
    """Arrays that would be too many for memory. The file has no name and ends with the shelf.

    Looking a name up reads that whole array; :meth:`read` and :meth:`write` move one piece of it.

    Raises:
        StorageFull: the disk has no room.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._places: dict[str, tuple[int, tuple[int, ...], np.dtype[np.generic]]] = {}
        self._end = 0

    def reserve(self, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        """Make room for one array, filled with zeros (holes of the file, so it costs nothing yet)."""
        self._places[name] = (self._end, shape, dtype)
        self._end += int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        with self._room():
            self._file.truncate(self._end)

    def write(self, name: str, start: int, piece: Array) -> None:
        """Store ``piece`` (1-D) from element ``start`` of the flattened array on."""
        place, _, dtype = self._places[name]
        data = np.ascontiguousarray(piece, dtype).view(np.uint8).data
        self._file.seek(place + start * dtype.itemsize)
        with self._room():
            while data:
                data = data[self._file.write(data) :]

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise StorageFull(
                f"No room for {self._end:,} bytes of updates in the temporary folder.",
                hint="Free disk space there, or point TMPDIR to a larger disk.",
            ) from error

    def read(self, name: str, start: int, out: Array) -> None:
        """Fill ``out`` (1-D, contiguous, of the array's dtype) from element ``start`` on."""
        place, _, dtype = self._places[name]
        data = out.view(np.uint8).data
        self._file.seek(place + start * dtype.itemsize)
        while data:
            count = self._file.readinto(data)
            data = data[count:]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one array, without reading it."""
        return self._places[name][1]

    def dtype(self, name: str) -> np.dtype[np.generic]:
        """Dtype of one array, without reading it."""
        return self._places[name][2]

    def clear(self) -> None:
        """Forget every array and give the disk space back."""
        self._file.truncate(0)
        self._places.clear()
        self._end = 0

    def __getitem__(self, name: str) -> Array:
        _, shape, dtype = self._places[name]
        flat: Array = np.empty(int(np.prod(shape, dtype=np.int64)), dtype)
        self.read(name, 0, flat)
        return flat.reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
