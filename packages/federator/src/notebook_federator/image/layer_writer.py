"""One layer as a stream: a tar file in gzip members, with the same bytes wherever it is written.

Small files go through libdeflate in chunks of 4 MiB; a deflate stream that exists already (a member of a
wheel) is copied into a gzip member of its own. Members in a row are one gzip file (RFC 1952, section 2.2).
"""

from __future__ import annotations

import hashlib
import struct
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .deflating import MemberDamaged, inflated

CHUNK = 4 << 20
EPOCH = 1577836800  # 2020-01-01: the time of every file
LARGEST = 64 << 30  # bytes of one file; far above any wheel's member
_BLOCK = 512
_LEVEL = 6
_MEMBER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, no operating system


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: ``digest`` and ``size`` of the gzip file; ``diff_id`` and ``unpacked`` of the tar."""

    digest: str
    diff_id: str
    size: int
    unpacked: int


class LayerWriter:
    """Writes one layer to ``out``; hashes on the way and holds at most one chunk.

    Names are relative POSIX paths, in the order in which they are to stand in the layer. Owner is 0:0, the
    time is fixed, modes are given: nothing of this machine enters the layer.

    Raises (all methods): ValueError for an absolute name, one with ``..``, or one that was there before.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._blob = hashlib.sha256()
        self._tar = hashlib.sha256()
        self._waiting = bytearray()
        self._names: set[str] = set()
        self.size = 0
        self.unpacked = 0

    def directory(self, name: str, mode: int = 0o755) -> None:
        """A folder; its parents are not made."""
        self._header(name, mode, 0, tarfile.DIRTYPE)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self._header(name, 0o777, 0, tarfile.SYMTYPE, target)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """A file whose bytes are in memory."""
        self.stream(name, len(data), (data,), mode)

    def stream(self, name: str, size: int, pieces: Iterable[bytes], mode: int = 0o644) -> None:
        """A file of ``size`` bytes, in pieces.

        Raises: MemberDamaged when the pieces are not ``size`` bytes together.
        """
        self._header(name, mode, size)
        start = self.unpacked + len(self._waiting)
        for piece in pieces:
            self._write(piece)
        if self.unpacked + len(self._waiting) - start != size:
            raise MemberDamaged(f"{name} does not have the {size} bytes that are declared")
        self._pad(size)

    def deflated(self, name: str, size: int, crc: int, pieces: Iterable[bytes], mode: int = 0o644) -> None:
        """A file of ``size`` bytes from its raw deflate stream (RFC 1951), which is copied unchanged.

        Raises: MemberDamaged when the stream does not give ``size`` bytes with the CRC-32 ``crc``.
        """
        self._header(name, mode, size)
        self._flush()
        self._emit(_MEMBER)
        for data in inflated(self._emitted(pieces), size, crc):
            self._tar.update(data)
        self._emit(struct.pack("<II", crc, size & 0xFFFFFFFF))
        self.unpacked += size
        self._pad(size)

    def finish(self) -> Written:
        """End the tar (two empty blocks) and the last gzip member; ``out`` stays open."""
        self._write(bytes(2 * _BLOCK))
        self._flush()
        return Written(
            f"sha256:{self._blob.hexdigest()}", f"sha256:{self._tar.hexdigest()}", self.size, self.unpacked
        )

    def _header(
        self, name: str, mode: int, size: int, kind: bytes = tarfile.REGTYPE, target: str = ""
    ) -> None:
        if not name or name.startswith("/") or ".." in name.split("/") or name in self._names:
            raise ValueError(f"{name!r} cannot stand in this layer: absolute, with '..', or twice")
        if not 0 <= size <= LARGEST:
            raise ValueError(f"{name!r} cannot have {size} bytes")
        self._names.add(name)
        entry = tarfile.TarInfo(name)
        entry.mode, entry.size, entry.mtime, entry.type, entry.linkname = mode, size, EPOCH, kind, target
        self._write(entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _pad(self, size: int) -> None:
        self._write(bytes(-size % _BLOCK))

    def _write(self, data: bytes) -> None:
        """Fill chunks exactly, so that they do not depend on how ``data`` was cut."""
        view = memoryview(data)
        while view:
            part = view[: CHUNK - len(self._waiting)]
            self._waiting += part
            view = view[len(part) :]
            if len(self._waiting) == CHUNK:
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            import deflate

            self._tar.update(self._waiting)
            self.unpacked += len(self._waiting)
            self._emit(deflate.gzip_compress(self._waiting, _LEVEL))
            self._waiting.clear()

    def _emitted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._emit(piece)
            yield piece

    def _emit(self, data: bytes | bytearray) -> None:
        self._out.write(data)
        self._blob.update(data)
        self.size += len(data)
