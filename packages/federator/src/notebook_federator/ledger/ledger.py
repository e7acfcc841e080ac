"""An append-only, hash-chained record of a run in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nbfed_site.contracts import LedgerBroken, StorageFull, canonical_json, digest, json_digest

GENESIS = "sha256:" + "0" * 64

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    sequence INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact: ``kind`` names it, ``body`` holds it, ``hash`` covers it and all before it."""

    sequence: int
    at: str
    kind: str
    body: Mapping[str, Any]
    previous: str
    hash: str


class Ledger:
    """Appends entries and reads them back.

    Args:
        path: the SQLite file, made if absent.
        now: gives the UTC time as ISO 8601 text.
        observe: called with each new entry after it is durable.

    Raises:
        LedgerBroken: the file is not a ledger.
    """

    def __init__(
        self, path: Path, now: Callable[[], str], observe: Callable[[Entry], None] | None = None
    ) -> None:
        self._path = path
        self._now = now
        self._observe = observe
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise LedgerBroken(f"The ledger cannot be opened: {error}.", where=str(path)) from error

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
            ValueError: ``body`` holds a float that is not finite.
        """
        text = canonical_json(body).decode()
        row = self._db.execute("SELECT sequence, hash FROM entries ORDER BY sequence DESC LIMIT 1").fetchone()
        sequence, previous = (row[0] + 1, row[1]) if row else (0, GENESIS)
        at = self._now()
        entry = Entry(
            sequence, at, kind, json.loads(text), previous, _hash(sequence, at, kind, text, previous)
        )
        try:
            self._db.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)",
                (sequence, at, kind, text, previous, entry.hash),
            )
        except sqlite3.OperationalError as error:
            raise StorageFull(
                f"The ledger could not be written: {error}.",
                where=str(self._path),
                hint="Free some disk space, then resume the run.",
            ) from error
        if self._observe:
            self._observe(entry)
        return entry

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """All entries in order, or those of the given kinds."""
        marks = ",".join("?" * len(kinds))
        where = f"WHERE kind IN ({marks})" if kinds else ""
        for row in self._db.execute(f"SELECT * FROM entries {where} ORDER BY sequence", kinds):
            yield Entry(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5])

    def verify(self) -> int:
        """Check the whole chain and return the number of entries.

        Raises:
            LedgerBroken: an entry was changed, removed, added or moved; says which.
        """
        expected, previous = 0, GENESIS
        for sequence, at, kind, text, before, found in self._db.execute(
            "SELECT * FROM entries ORDER BY sequence"
        ):
            intact = sequence == expected and before == previous
            if not intact or found != _hash(sequence, at, kind, text, before):
                raise LedgerBroken(
                    f"Entry {expected} of the ledger does not fit the entries before it.",
                    where=str(self._path),
                    hint="The file was changed after it was written; compare it with a copy.",
                )
            expected, previous = expected + 1, found
        return expected


def _hash(sequence: int, at: str, kind: str, text: str, previous: str) -> str:
    body = digest(text.encode())
    return json_digest({"sequence": sequence, "at": at, "kind": kind, "body": body, "previous": previous})
