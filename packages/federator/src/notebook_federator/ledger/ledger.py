"""An append-only, hash-chained, signed record in one SQLite file."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nbfed_site.contracts import LedgerBroken, StorageFull, TimedOut, canonical_json, digest, json_digest

from .signing import Signer, is_text_signed

GENESIS = "sha256:" + "0" * 64
_BUSY_SECONDS = 30.0
_DAMAGE = (sqlite3.DatabaseError, ValueError)  # SQLite's word for it, or text that is no UTF-8

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    sequence INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    signature TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact: ``kind`` names it, ``body`` holds it, ``hash`` covers it and all before it.

    ``signature`` is over ``hash``, base64 of DER; empty where the ledger is not signed.
    """

    sequence: int
    at: str
    kind: str
    body: Mapping[str, Any]
    previous: str
    hash: str
    signature: str = ""


class Ledger:
    """Appends entries and reads them back. Several processes may have the same file open.

    Args:
        path: the SQLite file, made if absent.
        now: gives the UTC time as ISO 8601 text.
        observe: called with each new entry of this object after it is durable.
        signer: signs each new entry; the first entry's body has to name its public key as ``key``.
        writing: False: as :meth:`read`.

    Raises:
        LedgerBroken: the file is not a ledger.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], str],
        observe: Callable[[Entry], None] | None = None,
        signer: Signer | None = None,
        *,
        writing: bool = True,
    ) -> None:
        self._path = path
        self._now = now
        self._observe = observe
        self._signer = signer
        self._db = _opened(path, writing)

    @classmethod
    def read(cls, path: Path) -> Self:
        """A ledger for reading alone: no file is made, and none is changed, whatever it is.

        Raises:
            LedgerBroken: the file is not there, or is not a ledger.
        """
        return cls(path, lambda: "", writing=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was appended stays."""
        self._db.close()

    def append(self, kind: str, /, **body: Any) -> Entry:
        """Add one entry and make it durable.

        Raises:
            StorageFull: it could not be written.
            TimedOut: another process has kept it from being written for half a minute.
            ValueError: ``body`` holds a float that is not finite.
        """
        text = canonical_json(body).decode()
        try:
            self._db.execute("BEGIN IMMEDIATE")  # no other process appends between reading and writing
            try:
                entry = self._next(kind, text)
                self._db.execute(
                    "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (entry.sequence, entry.at, kind, text, entry.previous, entry.hash, entry.signature),
                )
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            raise self._not_written(error) from error
        if self._observe:
            self._observe(entry)
        return entry

    def _not_written(self, error: sqlite3.OperationalError) -> StorageFull | TimedOut:
        what, where = f"The ledger could not be written: {error}.", str(self._path)
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return TimedOut(what, where=where, hint="End what holds it open, such as a database browser.")
        return StorageFull(what, where=where, hint="Free some disk space, then resume the run.")

    def _next(self, kind: str, text: str) -> Entry:
        count, previous = self.head()
        at = self._now()
        made = _hash(count, at, kind, text, previous)
        signature = self._signer.sign_text(made) if self._signer else ""
        return Entry(count, at, kind, json.loads(text), previous, made, signature)

    def head(self) -> tuple[int, str]:
        """The number of entries, and the hash of the last."""
        last = "SELECT sequence, hash FROM entries ORDER BY sequence DESC LIMIT 1"
        return next(((sequence + 1, made) for sequence, made in self._rows(last)), (0, GENESIS))

    def entries(self, *kinds: str, start: int = 0) -> Iterator[Entry]:
        """All entries in order, or those of the given kinds; from sequence number ``start``."""
        marks = ",".join("?" * len(kinds))
        only = f"AND kind IN ({marks})" if kinds else ""
        query = f"SELECT * FROM entries WHERE sequence >= ? {only} ORDER BY sequence"
        rows = self._rows(query, (start, *kinds))
        for sequence, at, kind, text, previous, made, signature in rows:
            yield Entry(sequence, at, kind, json.loads(text), previous, made, signature)

    def _rows(self, query: str, values: tuple[int | str, ...] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._db.execute(query, values)
        except _DAMAGE as error:
            raise self._broken(f"The ledger cannot be read: {error}.") from error

    def verify(self, key: str | None = None, head: tuple[int, str] | None = None) -> int:
        """Check the whole chain with its signatures and return the number of entries.

        Args:
            key: public key (PEM) that every entry has to be signed with; else the one that the first
                entry names, where it names one.
            head: a number of entries and the hash of the last of them, noted earlier: they are still here.

        Raises:
            LedgerBroken: an entry was changed, removed, added or moved; says which.
        """
        expected, previous = 0, GENESIS
        known = head is None or head == (0, GENESIS)
        for row in self._rows("SELECT * FROM entries ORDER BY sequence"):
            sequence, at, kind, text, before, found, signature = row
            intact = (
                sequence == expected and before == previous and all(type(item) is str for item in row[1:])
            )
            if not intact or found != _hash(sequence, at, kind, text, before):
                raise self._broken(f"Entry {expected} of the ledger does not fit the entries before it.")
            if expected == 0:
                key = self._key(key, _named_key(text))
            if not (is_text_signed(key, found, signature) if key else signature == ""):
                raise self._broken(f"Entry {expected} of the ledger is not signed with the federation's key.")
            expected, previous = expected + 1, found
            known = known or (expected, found) == head
        if not known:
            raise self._broken("The ledger does not hold the entries that it once ended with.")
        return expected

    def _key(self, pinned: str | None, named: str | None) -> str | None:
        """The key that entries are signed with, known before or from the first entry."""
        if pinned and named and pinned.split() != named.split():
            raise self._broken("The ledger is of another federation: it names another signing key.")
        return pinned or named

    def _broken(self, what: str) -> LedgerBroken:
        hint = "The file was changed after it was written; compare it with a copy."
        return LedgerBroken(what, where=str(self._path), hint=hint)


def _opened(path: Path, writing: bool) -> sqlite3.Connection:
    """A connection that has looked into the file, which SQLite does no sooner than it has to."""
    first = "PRAGMA journal_mode=WAL;" + _SCHEMA if writing else "SELECT sequence FROM entries LIMIT 1;"
    db = None
    try:
        mode = "mode=rwc" if writing else _reading(path)
        uri = f"{path.absolute().as_uri()}?{mode}"
        db = sqlite3.connect(uri, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
        db.executescript(first)
    except _DAMAGE as error:
        if db is not None:
            db.close()
        raise LedgerBroken(f"The ledger cannot be opened: {error}.", where=str(path)) from error
    return db


def _reading(path: Path) -> str:
    """How a file that is there is opened; where nothing can be written SQLite must make no files."""
    still = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return "mode=ro&immutable=1" if still else "mode=rw"


def _hash(sequence: int, at: str, kind: str, text: str, previous: str) -> str:
    body = digest(text.encode())
    return json_digest({"sequence": sequence, "at": at, "kind": kind, "body": body, "previous": previous})


def _named_key(text: str) -> str | None:
    """The public key that a first entry names."""
    try:
        body = json.loads(text)
    except ValueError:
        return None
    found = body.get("key") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
