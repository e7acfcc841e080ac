"""Flower objects with array bytes in files: memory does not grow with the model or with the sites.

The chunks of one run of array bytes lie in one file, in order, so that an array is a contiguous
part of it. A chunk that several runs share (a frozen layer, a region of zeros) is received once and
copied into each.

Touches of Flower that are not its public API:
    ``flwr.supercore.object_store.ObjectStore`` (subclassed), ``NoObjectInStoreError``;
    ``flwr.supercore.inflatable.inflatable_object``: ``get_object_id``,
    ``iterate_object_tree``; ``flwr.proto.message_pb2.ObjectTree``.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_object_id, iterate_object_tree
from flwr.supercore.object_store import NoObjectInStoreError, ObjectStore
from nbfed_site.link.pack import chunk_head
from nbfed_site.link.records import Run, run_from_object

from .run_file import Place, RunFile, copy_chunk


@dataclass(slots=True)
class _Entry:
    children: tuple[str, ...]
    parents: int = 0
    content: bytes | None = None
    places: list[Place] = field(default_factory=list)
    available: bool = False
    file: RunFile | None = None


class SpillingStore(ObjectStore):
    """Keeps small objects in memory and array chunks in files below ``folder``.

    Up to ``spares`` files that nobody uses are kept for the next runs; it may be changed at any time.
    """

    def __init__(self, folder: Path, spares: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.run"):
            leftover.unlink()
        self.folder, self.spares = folder, spares
        self._spare: list[RunFile] = []
        self._numbers = itertools.count()
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.RLock()

    def preregister(self, run_id: int, object_tree: ObjectTree) -> list[str]:
        """Expect the objects of a tree; the ids of those that are not here yet."""
        missing: dict[str, None] = {}
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

    def put(self, object_id: str, object_content: bytes, most: int | None = None) -> None:
        """Take one small object, once its bytes are proved to be what its id says.

        Raises:
            NoObjectInStoreError: the object is not expected.
            ValueError: the bytes are not those of the id, or are an array chunk's, or announce more than
                ``most`` bytes of arrays: a few bytes can announce terabytes.
            OSError: the disk is full.
        """
        with self._lock:
            if self._entry(object_id).available:
                return
        if get_object_id(object_content) != object_id or object_content.startswith(b"ArrayChunk "):
            raise ValueError(f"object {object_id} has other content")
        if object_content.startswith(b"Array "):
            run = run_from_object(object_id, object_content)
            if most is not None and run.nbytes > most:
                raise ValueError(f"array {object_id} has {run.nbytes} bytes, more than {most}")
            self._place(run, self.new_file(run.nbytes), filled=False)
        with self._lock:
            entry = self._entry(object_id)
            entry.content, entry.available = object_content, True

    def claim(self, object_id: str, file: RunFile) -> list[int] | None:
        """Take a chunk's places in ``file`` out of use, to be written to; None if the chunk is here already.

        A sender writes to its own file alone: what it sends is not proved yet.
        """
        with self._lock:
            entry = self._entry(object_id)
            if entry.available:
                return None
            claimed = [position for other, position in entry.places if other is file]
            entry.places = [place for place in entry.places if place[0] is not file]
            return claimed

    def settle(self, object_id: str, file: RunFile, positions: list[int], proved: bool) -> None:
        """Give claimed places back. If the chunk was ``proved`` at the first, all its places are filled."""
        with self._lock:
            entry = self._entries.get(object_id)
            if entry is None:
                for _ in positions:
                    self.drop(file)
                return
            waiting = [(file, at) for at in positions]
            if proved and not entry.available:
                entry.available = True
                file.filled.add(positions[0])
                waiting, entry.places = [*entry.places, *waiting[1:]], waiting[:1]
            if entry.available:
                self._fill(entry, waiting)
            else:
                entry.places += waiting

    def _fill(self, entry: _Entry, waiting: Iterable[Place]) -> None:
        """Copy a chunk that is here to more places.

        A place of another length, or that waits for an object that is no chunk, is given up: the run that
        it is part of never becomes whole.
        """
        for place in waiting:
            if entry.places and copy_chunk(entry.places[0], place):
                entry.places.append(place)
            else:
                self.drop(place[0])

    def new_file(self, nbytes: int = 0) -> RunFile:
        """A file for a run of ``nbytes``, with one user; one that has served is used again if it can be.

        To overwrite pages that the system holds for a file costs a fraction of fresh ones.
        """
        with self._lock:
            file = self._spare.pop() if self._spare else RunFile(self.folder / f"{next(self._numbers)}.run")
        file.nbytes, file.users = nbytes, 1
        file.filled.clear()
        return file

    def drop(self, file: RunFile) -> None:
        """One user of ``file`` less."""
        with self._lock:
            file.users -= 1
            if file.users > 0:
                return
            self._spare.append(file)
            while len(self._spare) > self.spares:
                self._spare.pop(0).remove()

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
                self.drop(file)
                if owner.file is not None:
                    return
                raise ValueError(f"array {run.object_id} has other chunks than announced")
            owner.file = file
            for position, chunk in enumerate(run.chunk_ids):
                entry = self._entry(chunk)
                file.users += 1
                if entry.available and not filled:
                    self._fill(entry, [(file, position)])
                    continue
                entry.places.append((file, position))
                entry.available = entry.available or filled

    def get(self, object_id: str) -> bytes | None:
        """One object whole; empty if it is expected and not here yet."""
        with self._lock:
            entry = self._entries.get(object_id)
            if entry is None or not entry.available:
                return None if entry is None else b""
            if entry.content is not None:
                return entry.content
            file, position = entry.places[0]
            return chunk_head(file.length_at(position)) + file.read(position)

    def chunk_at(self, object_id: str) -> Place | None:
        """Where a chunk lies; None if the object is no chunk or is not here. The file is to be dropped."""
        with self._lock:
            entry = self._entries.get(object_id)
            if entry is None or not entry.available or not entry.places:
                return None
            file, position = entry.places[0]
            file.users += 1
            return file, position

    def use(self, file: RunFile) -> None:
        """One user of ``file`` more."""
        with self._lock:
            file.users += 1

    def find_file(self, array_id: str) -> RunFile | None:
        """The file with the bytes of one run, once its array object is here."""
        with self._lock:
            entry = self._entries.get(array_id)
            return None if entry is None else entry.file

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
                self.drop(file)
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
                    self.drop(file)
        self.drop(owner.file)

    def delete_objects_in_run(self, run_id: int) -> None:
        """Remove everything: there is one Flower run in a transport's life."""
        self.clear()

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            for entry in self._entries.values():
                for file, _ in entry.places:
                    self.drop(file)
                if entry.file is not None:
                    self.drop(entry.file)
            self._entries.clear()
            while self._spare:
                self._spare.pop().remove()

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def _entry(self, object_id: str) -> _Entry:
        entry = self._entries.get(object_id)
        if entry is None:
            raise NoObjectInStoreError(f"object {object_id} is not expected")
        return entry
