"""Objects on their way in: hashed and written piece by piece, so that memory holds pieces only."""

from __future__ import annotations

import hashlib

from nbfed_site.link.pack import CHUNK_BYTES, chunk_head

from .object_store import SpillingStore
from .run_file import Pieces, RunFile

SMALL_BYTES = 1 << 20
_HEAD_BYTES = 64


class Upload:
    """One object that a site is sending; not for several threads at once.

    Args:
        file: where the array bytes of this site's reply go; None while its array is not here yet.
        length: of the whole object.
        most: bytes that the arrays of this reply may have; None for any.

    Raises (all methods):
        ValueError: the object is not acceptable, or its bytes are not those of its id.
        NoObjectInStoreError: the object is not expected (any more).
        OSError: the disk is full.
    """

    def __init__(
        self,
        store: SpillingStore,
        object_id: str,
        file: RunFile | None,
        length: int,
        most: int | None = None,
    ) -> None:
        self._store, self._object_id, self._file, self.length = store, object_id, file, length
        self._most = most
        self._sha = hashlib.sha256()
        self._held: Pieces = []
        self._got = self._written = 0
        self._kind = ""
        self._places: list[int] = []
        if file is not None:
            store.use(file)

    def write(self, pieces: Pieces) -> None:
        """Take the next bytes."""
        for piece in pieces:
            self._sha.update(piece)
        self._got += sum(map(len, pieces))
        if self._kind == "chunk":
            self._store_pieces(pieces)
            return
        self._held = [*self._held, *pieces]
        if not self._kind and self._got >= min(_HEAD_BYTES, self.length):
            self._decide(b"".join(bytes(piece[:_HEAD_BYTES]) for piece in self._held)[:_HEAD_BYTES])
        if self._kind == "small" and self._got > SMALL_BYTES:
            raise ValueError("the object is too large")

    def _decide(self, opening: bytes) -> None:
        """Tell by the first bytes whether this is an array chunk, and where it goes."""
        self._kind = "chunk" if opening.startswith(b"ArrayChunk ") else "small"
        if self._kind == "small":
            return
        head = opening[: opening.find(b"\0") + 1]
        body = self.length - len(head)
        if self._file is None or head != chunk_head(body):
            raise ValueError("the chunk has a wrong head, or came before its array")
        places = self._store.claim(self._object_id, self._file)
        if places is not None:
            self._places = places
            if not places or any(self._file.length_at(position) != body for position in places):
                raise ValueError("the chunk has no place of its length in this reply")
        held, self._held = self._held, []
        self._store_pieces(_after(held, len(head)))

    def _store_pieces(self, pieces: Pieces) -> None:
        if self._places and self._file is not None:
            self._written += self._file.write(self._places[0] * CHUNK_BYTES + self._written, pieces)

    def finish(self) -> None:
        """Prove the object, and make it available."""
        if self._got != self.length or self._sha.hexdigest() != self._object_id:
            raise ValueError("the object has other content than its id says")
        if self._kind == "small":
            self._store.put(self._object_id, b"".join(self._held), self._most)
        elif self._places and self._file is not None:
            self._store.settle(self._object_id, self._file, self._places, proved=True)
            self._places = []

    def close(self) -> None:
        """Let go of everything; what was not finished is as if it had not been sent."""
        if self._file is not None:
            if self._places:
                self._store.settle(self._object_id, self._file, self._places, proved=False)
            self._store.drop(self._file)
        self._file, self._places = None, []


def _after(pieces: Pieces, skip: int) -> list[bytes | memoryview]:
    """``pieces`` without their first ``skip`` bytes."""
    rest: list[bytes | memoryview] = []
    for piece in pieces:
        if skip < len(piece):
            rest.append(memoryview(piece)[skip:])
        skip = max(skip - len(piece), 0)
    return rest
