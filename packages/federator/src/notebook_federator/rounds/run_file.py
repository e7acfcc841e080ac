"""The array bytes of one message, in one file."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from nbfed_site.link.pack import CHUNK_BYTES, chunk_id

_MAX_PIECES = 512
_CHUNKS_AT_ONCE = 4
Pieces = Sequence[bytes | memoryview]
Place = tuple["RunFile", int]


class RunFile:
    """One run of array bytes on disk, held by its users; without any it can take another run."""

    def __init__(self, path: Path) -> None:
        self.nbytes = self.users = 0
        self.filled: set[int] = set()  # positions of the chunks that were received and proved
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def length_at(self, position: int) -> int:
        """Length of the chunk at ``position`` (0-based)."""
        return min(CHUNK_BYTES, self.nbytes - position * CHUNK_BYTES)

    @property
    def is_whole(self) -> bool:
        """Whether all chunks of a run that is received are here."""
        return len(self.filled) == -(-self.nbytes // CHUNK_BYTES)

    def write(self, offset: int, pieces: Pieces) -> int:
        """Write ``pieces`` one after the other; their length."""
        if len(pieces) > _MAX_PIECES:
            pieces = [b"".join(pieces)]
        length = sum(map(len, pieces))
        written = os.pwritev(self.descriptor, pieces, offset)
        if written != length:
            raise OSError(f"wrote {written} of {length} bytes to {self.path}")
        return length

    def read(self, position: int) -> bytes:
        """One whole chunk."""
        return os.pread(self.descriptor, self.length_at(position), position * CHUNK_BYTES)

    def fill(self, chunks: Iterable[list[memoryview]], pool: ThreadPoolExecutor) -> list[str]:
        """Write all chunks of a run, in order, few at a time; their ids."""
        under_way: deque[Future[str]] = deque()
        ids = []
        for position, chunk in enumerate(chunks):
            self.nbytes += sum(map(len, chunk))
            under_way.append(pool.submit(self._put, position, chunk))
            if len(under_way) > _CHUNKS_AT_ONCE:
                ids.append(under_way.popleft().result())
        return ids + [item.result() for item in under_way]

    def _put(self, position: int, chunk: list[memoryview]) -> str:
        self.write(position * CHUNK_BYTES, chunk)
        return chunk_id(chunk)

    def remove(self) -> None:
        """Close and remove the file."""
        os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


def copy_chunk(source: Place, target: Place) -> bool:
    """Copy one chunk to another place, a file and a position; False where that is for another length."""
    file, position = target
    if file.length_at(position) != source[0].length_at(source[1]):
        return False
    file.write(position * CHUNK_BYTES, [source[0].read(source[1])])
    file.filled.add(position)
    return True
