"""Content read for an upload: from any offset, hashed on the way, never more than a block in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import BlobDamaged
from ..meter import Progress, layer_event
from ..shapes import Content, Descriptor
from .content import damaged, new_hash

BLOCK = 256 << 10
TITLE = "org.opencontainers.image.title"
_SECONDS_BETWEEN_EVENTS = 0.1


class Source:
    """One content under upload; held: an open stream, and the hash of all bytes from the first on."""

    def __init__(self, descriptor: Descriptor, content: Content, progress: Progress) -> None:
        self._descriptor = descriptor
        self._content = content
        self._progress = progress
        self._stream: BinaryIO | None = None
        self._position = 0
        self._hash = new_hash(descriptor.digest)
        self._hashed = 0
        self._told = 0.0

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``end``.

        Raises:
            BlobDamaged: before the last byte of the content, where all of it has another size or digest.
        """
        self._seek(start)
        while self._position < end:
            block = self._read(min(BLOCK, end - self._position))
            if self._position == self._descriptor.size:
                self._verify()
            yield block
            self.tell("uploading")

    def tell(self, state: str) -> None:
        """Report how far it is; while uploading, not more than ten times a second."""
        now = time.monotonic()
        if state == "uploading" and now - self._told < _SECONDS_BETWEEN_EVENTS:
            return
        self._told = now
        size = self._descriptor.size
        title = self._descriptor.annotations.get(TITLE) or self._descriptor.digest[:19]
        done = self._position if state == "uploading" else size
        self._progress(layer_event(title, state, done, size))

    def close(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _seek(self, start: int) -> None:
        if self._stream is None or self._position > start:
            self.close()
            self._stream, self._position = self._opened(), 0
        known = min(start, self._hashed)
        if known > self._position and self._stream.seekable():
            self._position = self._stream.seek(known)
        while self._position < start:
            self._read(min(BLOCK, start - self._position))

    def _opened(self) -> BinaryIO:
        try:
            return self._content.open()
        except OSError as error:
            raise self._damaged() from error

    def _read(self, count: int) -> bytes:
        assert self._stream is not None
        try:
            block = self._stream.read(count)
        except OSError as error:
            raise self._damaged() from error
        if not block:
            raise self._damaged()
        fresh = self._position + len(block) - self._hashed
        if fresh > 0:
            self._hash.update(memoryview(block)[-fresh:])
            self._hashed += fresh
        self._position += len(block)
        return block

    def _verify(self) -> None:
        found = f"{self._hash.name}:{self._hash.hexdigest()}"
        if found != self._descriptor.digest or (self._stream is not None and self._stream.read(1)):
            raise self._damaged()

    def _damaged(self) -> BlobDamaged:
        return damaged(self._descriptor.digest, str(getattr(self._content, "path", "") or "a layer"))
