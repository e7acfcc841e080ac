"""Flower objects with array bytes in files: memory does not grow with the model or with the sites.

The chunks of one run of array bytes lie in one file, in order, so that an array is a contiguous
part of it. A chunk that several runs share (a frozen layer, a region of zeros) is received once and
copied into each.

Touches of Flower that are not its public API:
    ``flwr.supercore.object_store.ObjectStore`` (subclassed), ``NoObjectInStoreError``;
    ``flwr.supercore.inflatable.inflatable_object``: ``get_object_children_ids_from_object_content``,
    ``iterate_object_tree``; ``flwr.proto.message_pb2.ObjectTree``.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.object_store import NoObjectInStoreError, ObjectStore

from nbfed_site.link.pack import CHUNK_BYTES, chunk_head, chunk_id
from nbfed_site.link.records import Run, run_from_object

SMALL_BYTES = 1 << 20
_MAX_PIECES = 512
Pieces = Sequence[bytes | memoryview]


class RunFile:
    """One run of array bytes on disk; removed when nothing needs it any more."""

    def __init__(self, path: Path, nbytes: int) -> None:
        self.path, self.nbytes, self.users = path, nbytes, 0
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.truncate(self.descriptor, nbytes)

    def length_at(self, position: int) -> int:
        """Length of the chunk at ``position`` (0-based)."""
        return min(CHUNK_BYTES, self.nbytes - position * CHUNK_BYTES)

    def write(self, position: int, pieces: Pieces) -> None:
        """Write one whole chunk."""
        if len(pieces) > _MAX_PIECES:
            pieces = [b"".join(pieces)]
        length = sum(map(len, pieces))
        written = os.pwritev(self.descriptor, pieces, position * CHUNK_BYTES)
        if written != length:
            raise OSError(f"wrote {written} of {length} bytes to {self.path}")

    def read(self, position: int) -> bytes:
        """Read one whole chunk."""
        return os.pread(self.descriptor, self.length_at(position), position * CHUNK_BYTES)

    def fill(self, chunks: Iterable[list[memoryview]], pool: ThreadPoolExecutor) -> list[str]:
        """Write all chunks, in order; their ids."""

        def put(numbered: tuple[int, list[memoryview]]) -> str:
            position, chunk = numbered
            self.write(position, chunk)
            return chunk_id(chunk)

        return list(pool.map(put, enumerate(chunks)))

    def drop(self) -> None:
        """One use less; the last one removes the file. Arrays mapped from it stay readable."""
        self.users -= 1
        if self.users == 0:
            os.close(self.descriptor)
            self.path.unlink(missing_ok=True)


@dataclass(slots=True)
class _Entry:
    children: tuple[str, ...]
    parents: int = 0
    content: bytes | None = None
    places: list[tuple[RunFile, int]] = field(default_factory=list)
    available: bool = False
    file: RunFile | None = None


class SpillingStore(ObjectStore):
    """Keeps small objects in memory and array chunks in files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.run"):
            leftover.unlink()
        self._folder = folder
        self._numbers = itertools.count()
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.RLock()

    def preregister(self, run_id: int, object_tree: ObjectTree) -> list[str]:
        """Expect the objects of a tree; the ids of those that are not here yet."""
        missing = {}
        with self._lock:
            for node in iterate_object_tree(object_tree):
                entry = self._entries.get(node.object_id)
                if entry is None:
                    children = tuple(child.object_id for child in node.children)
                    entry = self._entries[node.object_id] = _Entry(children)
                    for child in children:
                        self._entries[child].parents += 1
                if not entry.available:
                    missing[node.object_id] = None
        return list(missing)

    def get_object_tree(self, object_id: str) -> ObjectTree:
        """The tree below one object."""
        with self._lock:
            children = self._entry(object_id).children
            return ObjectTree(object_id=object_id, children=[self.get_object_tree(item) for item in children])

    def put(self, object_id: str, object_content: bytes) -> None:
        """Take one object; see :meth:`accept`."""
        self.accept(object_id, [object_content])

    def accept(self, object_id: str, pieces: Pieces) -> None:
        """Take one expected object, given in pieces, once its bytes are proved to be what its id says.

        Hashing and writing happen outside the lock: several threads may do it at once.

        Raises:
            NoObjectInStoreError: the object is not expected.
            ValueError: the bytes are not those of the id, or not acceptable.
            OSError: the disk is full.
        """
        with self._lock:
            if self._entry(object_id).available:
                return
        sha = hashlib.sha256()
        for piece in pieces:
            sha.update(piece)
        if sha.hexdigest() != object_id:
            raise ValueError(f"object {object_id} has other content")
        opening = bytes(pieces[0][:64])
        if opening.startswith(b"ArrayChunk "):
            self._accept_chunk(object_id, pieces, opening)
        elif sum(map(len, pieces)) > SMALL_BYTES:
            raise ValueError(f"object {object_id} is too large")
        else:
            self._accept_small(object_id, b"".join(pieces))

    def _accept_chunk(self, object_id: str, pieces: Pieces, opening: bytes) -> None:
        head = opening[: opening.index(b"\0") + 1]
        length = sum(map(len, pieces)) - len(head)
        if head != chunk_head(length):
            raise ValueError(f"chunk {object_id} has a wrong head")
        with self._lock:
            entry = self._entry(object_id)
            places = list(entry.places)
            for file, _ in places:
                file.users += 1
        if not places:
            raise ValueError(f"chunk {object_id} came before its array")
        try:
            if any(file.length_at(position) != length for file, position in places):
                raise ValueError(f"chunk {object_id} has a wrong length")
            body = [memoryview(pieces[0])[len(head) :], *pieces[1:]]
            for file, position in places:
                file.write(position, body)
        finally:
            with self._lock:
                for file, _ in places:
                    file.drop()
        self._available(object_id, places)

    def _available(self, object_id: str, written: list[tuple[RunFile, int]]) -> None:
        """Mark a chunk as here; places that it was given meanwhile are filled now."""
        with self._lock:
            entry = self._entries.get(object_id)
            if entry is None:
                return
            for file, position in entry.places:
                if (file, position) not in written:
                    file.write(position, [written[0][0].read(written[0][1])])
            entry.available = True

    def _accept_small(self, object_id: str, content: bytes) -> None:
        if content.startswith(b"Array "):
            run = run_from_object(object_id, content)
            self._place(run, self.new_file(run.nbytes), filled=False)
        with self._lock:
            entry = self._entry(object_id)
            entry.content, entry.available = content, True

    def new_file(self, nbytes: int) -> RunFile:
        """An empty file for a run of ``nbytes``."""
        return RunFile(self._folder / f"{next(self._numbers)}.run", nbytes)

    def put_filled(self, run: Run, content: bytes, file: RunFile) -> None:
        """Take an expected run whose chunks are in ``file`` already, and its deflated object."""
        self._place(run, file, filled=True)
        with self._lock:
            entry = self._entry(run.object_id)
            entry.content, entry.available = content, True

    def _place(self, run: Run, file: RunFile, filled: bool) -> None:
        """Give every chunk of a run its place in ``file``; chunks that are here are copied to it."""
        with self._lock:
            owner = self._entry(run.object_id)
            if owner.file is not None or set(run.chunk_ids) - set(owner.children):
                file.users += 1
                file.drop()
                if owner.file is not None:
                    return
                raise ValueError(f"array {run.object_id} has other chunks than announced")
            owner.file = file
            file.users += 1
            for position, chunk in enumerate(run.chunk_ids):
                entry = self._entry(chunk)
                if entry.available and not filled:
                    source, at = entry.places[0]
                    file.write(position, [source.read(at)])
                entry.places.append((file, position))
                entry.available = entry.available or filled
                file.users += 1

    def get(self, object_id: str) -> bytes | None:
        """One object whole; empty if it is expected and not here yet."""
        pieces = self.read(object_id)
        return None if pieces is None else b"".join(pieces)

    def read(self, object_id: str) -> list[bytes] | None:
        """One object in pieces; no piece if it is expected and not here yet, None if it is unknown."""
        with self._lock:
            entry = self._entries.get(object_id)
            if entry is None:
                return None
            if not entry.available:
                return []
            if entry.content is not None:
                return [entry.content]
            file, position = entry.places[0]
            file.users += 1
        try:
            return [chunk_head(file.length_at(position)), file.read(position)]
        finally:
            with self._lock:
                file.drop()

    def file_of(self, array_id: str) -> RunFile:
        """The file with the bytes of one run."""
        with self._lock:
            file = self._entry(array_id).file
        if file is None:
            raise NoObjectInStoreError(f"{array_id} is not a run of array bytes")
        return file

    def hold(self, object_id: str) -> None:
        """Keep an object even when no message holds it any more, until :meth:`release`."""
        with self._lock:
            self._entry(object_id).parents += 1

    def release(self, object_id: str) -> None:
        """Undo :meth:`hold`."""
        with self._lock:
            if object_id in self._entries:
                self._entries[object_id].parents -= 1
                self.delete(object_id)

    def delete(self, object_id: str) -> None:
        """Remove an object and what it alone held; nothing happens while another object holds it."""
        with self._lock:
            entry = self._entries.get(object_id)
            if entry is None or entry.parents > 0:
                return
            del self._entries[object_id]
            if entry.file is not None:
                self._leave(entry)
            for file, _ in entry.places:
                file.drop()
            for child in entry.children:
                self._entries[child].parents -= 1
                self.delete(child)

    def _leave(self, owner: _Entry) -> None:
        """Take the places in a removed run's file from chunks that other runs have elsewhere."""
        assert owner.file is not None
        for child in owner.children:
            entry = self._entries[child]
            if any(file is not owner.file for file, _ in entry.places):
                gone = [place for place in entry.places if place[0] is owner.file]
                entry.places = [place for place in entry.places if place[0] is not owner.file]
                for file, _ in gone:
                    file.drop()
        owner.file.drop()

    def delete_objects_in_run(self, run_id: int) -> None:
        """Remove everything: there is one Flower run in a transport's life."""
        self.clear()

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            for entry in self._entries.values():
                for file in self._files(entry):
                    file.drop()
            self._entries.clear()

    @staticmethod
    def _files(entry: _Entry) -> Iterator[RunFile]:
        yield from (file for file, _ in entry.places)
        if entry.file is not None:
            yield entry.file

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def _entry(self, object_id: str) -> _Entry:
        entry = self._entries.get(object_id)
        if entry is None:
            raise NoObjectInStoreError(f"object {object_id} is not expected")
        return entry
