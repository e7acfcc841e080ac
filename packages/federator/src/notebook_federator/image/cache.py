"""The user's cache of wheels, layers and blobs: bounded, shared by processes, never half a file."""

from __future__ import annotations

import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nbfed_site.contracts import SettingsInvalid, StorageFull

KINDS = ("wheels", "layers", "blobs", "documents")
LIMIT = 20 * 10**9  # bytes
SPARED = 3600.0  # seconds since its last use in which nothing is evicted, nor a file in the making given up
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE = re.compile(r"(?P<number>\d{1,15}(\.\d{1,9})?) ?(?P<unit>[kmgt]b|)")
_MAKING = ".making-"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning removed, and the bytes that are left."""

    files: int
    bytes: int
    left: int


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    size: int
    used: float


class Cache:
    """Files under ``root``, by kind and name; about ``limit`` bytes of them.

    A file appears at once and whole, or not at all, whatever becomes of the process that makes it. The time
    of the last use is the file's access time, set by :meth:`find`; its modification time stays.
    """

    def __init__(self, root: Path, limit: int = LIMIT) -> None:
        self.root = root
        self.limit = limit
        self._unpruned = limit  # so that the first file that a process places prunes

    def find(self, kind: str, name: str) -> Path | None:
        """The file with this name, marked as used now; None where there is none."""
        path = self._path(kind, name)
        try:
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except FileNotFoundError:
            return None
        except OSError:  # a cache that may only be read
            return path if path.is_file() else None
        return path

    @contextmanager
    def making(self, kind: str, name: str) -> Iterator[Path]:
        """A path to write to; the file takes its place when the block ends, and is removed when that fails.

        Raises: StorageFull when the disk is full or the cache may not be written.
        """
        path = self._path(kind, name)
        making = path.with_name(f"{_MAKING}{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            making.touch()
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            yield making
            size = making.stat().st_size
            _place(making, path)
        except OSError as error:
            if error.errno in _FULL:
                raise self._cannot_write(error) from error
            raise
        finally:
            with suppress(OSError):
                making.unlink(missing_ok=True)
        self._prune_now_and_then(size)

    def drop(self, kind: str, name: str) -> None:
        """Remove the file with this name, if there is one."""
        with suppress(OSError):  # absent; or in use, on Windows
            self._path(kind, name).unlink()

    def prune(self, limit: int | None = None) -> Pruned:
        """Remove files, the least recently used first, until at most ``limit`` bytes are left.

        Without ``limit`` the cache's own holds, and nothing that was used within the last hour goes: another
        build may be about to read it. Files that a process left in the making an hour ago go in any case.
        """
        now = time.time()
        found = sorted(self._entries(), key=lambda entry: entry.used)
        left, files, removed = sum(entry.size for entry in found), 0, 0
        aim, newest = (self.limit, now - SPARED) if limit is None else (limit, float("inf"))
        for entry in found:
            dead = entry.path.name.startswith(_MAKING)
            if (dead and entry.used < now - SPARED) or (not dead and left > aim and entry.used < newest):
                with suppress(OSError):  # another process was first; or it is in use, on Windows
                    entry.path.unlink()
                    files, removed, left = files + 1, removed + entry.size, left - entry.size
        return Pruned(files, removed, left)

    def _prune_now_and_then(self, size: int) -> None:
        self._unpruned += size
        if self._unpruned > self.limit // 20:
            self._unpruned = 0
            self.prune()

    def _entries(self) -> Iterator[_Entry]:
        for kind in KINDS:
            with suppress(FileNotFoundError), os.scandir(self.root / kind) as listed:
                for item in listed:
                    with suppress(FileNotFoundError):
                        found = item.stat()
                        making = item.name.startswith(_MAKING)
                        used = found.st_mtime if making else found.st_atime
                        yield _Entry(Path(item.path), found.st_size, used)

    def _path(self, kind: str, name: str) -> Path:
        plain = name.replace(":", "-")  # a digest; Windows has no colon in names
        if kind not in KINDS or not plain or plain.startswith(".") or "/" in plain or "\\" in plain:
            raise ValueError(f"no place in the cache for {kind}/{name}")
        return self.root / kind / plain

    def _cannot_write(self, error: OSError) -> StorageFull:
        if error.errno in _FORBIDDEN:
            hint = "set NBFED_CACHE to a folder that may be written"
            return StorageFull("The cache cannot be written.", where=str(self.root), hint=hint)
        hint = "run `nbfed cache prune`, or set NBFED_CACHE to a folder on another disk"
        return StorageFull("The disk of the cache is full.", where=str(self.root), hint=hint)


def _place(making: Path, path: Path) -> None:
    try:
        making.replace(path)
    except PermissionError:
        if os.name != "nt" or not path.is_file():
            raise
        # Windows: another process placed the same file and reads it


def user_cache() -> Cache:
    """The cache of this user: ``NBFED_CACHE`` or the system's cache folder, ``NBFED_CACHE_LIMIT`` or 20 GB.

    Raises: SettingsInvalid for a limit that is not a size.
    """
    named = os.environ.get("NBFED_CACHE")
    if named:
        return Cache(Path(named).expanduser(), _limit())
    import platformdirs

    return Cache(platformdirs.user_cache_path("notebook-federator", appauthor=False), _limit())


def _limit() -> int:
    text = os.environ.get("NBFED_CACHE_LIMIT", "")
    return parse_size(text) if text else LIMIT


def parse_size(text: str) -> int:
    """Bytes from ``20GB``, ``500 MB`` or ``1000000``.

    Raises: SettingsInvalid for anything else.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None:
        raise SettingsInvalid(f"{text!r} is not a size.", hint="write it as 20GB or 500MB")
    return int(float(found["number"]) * _UNITS[found["unit"]])
