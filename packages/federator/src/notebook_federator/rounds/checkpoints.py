"""Models on disk: one safetensors file per round, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nbfed_site.contracts import Array, Arrays, RunUnreadable, StorageFull
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on disk and the SHA-256 digest of its file."""

    path: Path
    digest: str


class StoredArrays(Mapping[str, Array]):
    """The arrays of a safetensors file, each read from disk when asked for.

    Raises:
        RunUnreadable: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as file:
            self._names: tuple[str, ...] = tuple((file.metadata() or {}).get("order", "").split("\n"))
            if set(self._names) != set(file.keys()):
                self._names = tuple(file.keys())

    def _open(self) -> safe_open:
        try:
            return safe_open(self._path, framework="numpy")
        except (OSError, SafetensorError) as error:
            raise RunUnreadable(
                f"The model file cannot be read: {error}.",
                where=str(self._path),
                hint="Resume from an older round: delete this file, then resume the run.",
            ) from error

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        with self._open() as file:
            array: Array = file.get_tensor(name)
            return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def write_arrays(path: Path, arrays: Arrays) -> Checkpoint:
    """Write ``arrays`` to ``path`` in their order: all of them, durable, or nothing.

    Raises:
        StorageFull: the disk refused; an older file at ``path`` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        with storing(path):
            plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
            save_file(plain, part, metadata={"order": "\n".join(plain)})
            found = _sync_and_digest(part)
            part.replace(path)
    except StorageFull:
        part.unlink(missing_ok=True)
        raise
    return Checkpoint(path, found)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Say what it means where ``path`` cannot be written.

    Raises:
        StorageFull: the disk refused.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise StorageFull(
            f"The model could not be written: {error}.",
            where=str(path),
            hint="Free some disk space, then resume the run; finished rounds are kept.",
        ) from error


def _sync_and_digest(path: Path) -> str:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
