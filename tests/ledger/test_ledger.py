"""The ledger keeps what it was given and notices every change."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from nbfed_site.contracts import LedgerBroken, StorageFull, TimedOut
from notebook_federator.ledger import Entry, Ledger, ledger

NOW = "2030-01-02T03:04:05Z"


def filled(path: Path, count: int = 4) -> Path:
    with Ledger(path, lambda: NOW) as ledger:
        for number in range(count):
            ledger.append("update", site=f"site-{number}", round=number)
    return path


def tamper(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER no_update")
        db.execute("DROP TRIGGER no_delete")
        db.execute(statement)


def test_entries_come_back_in_order_and_survive_a_reopen(tmp_path: Path) -> None:
    path = filled(tmp_path / "ledger.sqlite")
    with Ledger(path, lambda: NOW) as ledger:
        ledger.append("finished", status="complete")
        assert [entry.kind for entry in ledger.entries()] == ["update"] * 4 + ["finished"]
        assert [entry.body["site"] for entry in ledger.entries("update")] == [f"site-{n}" for n in range(4)]
        assert ledger.verify() == 5


def test_observer_sees_each_entry_once(tmp_path: Path) -> None:
    seen: list[Entry] = []
    with Ledger(tmp_path / "ledger.sqlite", lambda: NOW, seen.append) as ledger:
        ledger.append("joined", site="a")
        assert seen == list(ledger.entries())


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE entries SET body = '{"round":1,"site":"another"}' WHERE sequence = 1""",
        "UPDATE entries SET at = '2031-01-01T00:00:00Z' WHERE sequence = 2",
        "DELETE FROM entries WHERE sequence = 1",
        "DELETE FROM entries WHERE sequence = 0",
        "UPDATE entries SET sequence = CASE sequence WHEN 1 THEN 20 ELSE sequence END",
    ],
)
def test_a_change_is_found(tmp_path: Path, statement: str) -> None:
    path = filled(tmp_path / "ledger.sqlite")
    tamper(path, statement)
    with Ledger(path, lambda: NOW) as ledger, pytest.raises(LedgerBroken):
        ledger.verify()


@pytest.mark.parametrize("statement", ["UPDATE entries SET kind = 'x'", "DELETE FROM entries"])
def test_the_file_itself_refuses_changes(tmp_path: Path, statement: str) -> None:
    path = filled(tmp_path / "ledger.sqlite")
    with sqlite3.connect(path) as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(statement)


APPENDS = """
import sys
from pathlib import Path
from notebook_federator.ledger import Ledger
with Ledger(Path(sys.argv[1]), lambda: "") as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(50):
        ledger.append("update", by=sys.argv[2], number=number)
"""


def test_processes_that_append_at_one_moment_make_one_chain(tmp_path: Path) -> None:
    path = filled(tmp_path / "ledger.sqlite")
    command = [sys.executable, "-c", APPENDS, str(path)]
    writers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for name in "abcd"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    assert [writer.wait(60) for writer in writers] == [0] * 4
    with Ledger(path, lambda: NOW) as ledger:
        assert ledger.verify() == 4 + 4 * 50
        for name in "abcd":
            mine = [entry.body["number"] for entry in ledger.entries() if entry.body.get("by") == name]
            assert mine == list(range(50))


def test_reading_changes_no_file(tmp_path: Path) -> None:
    path, other = filled(tmp_path / "ledger.sqlite"), tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE patients (name TEXT)")
    db.close()
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}
    with Ledger.read(path) as ledger:
        assert (ledger.verify(), ledger.head()[0]) == (4, 4)
    for wrong in (other, tmp_path / "absent.sqlite"):
        with pytest.raises(LedgerBroken, match="cannot be opened"):
            Ledger.read(wrong)
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_what_was_just_written_is_read(tmp_path: Path) -> None:
    path = filled(tmp_path / "ledger.sqlite")
    with Ledger(path, lambda: NOW) as writing:
        writing.append("update", site="a")
        with Ledger.read(path) as ledger:
            assert ledger.verify() == 5
            writing.append("update", site="b")
            assert ledger.verify() == 6


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a medium")
def test_a_copy_on_a_medium_that_cannot_be_written(tmp_path: Path) -> None:
    copy = tmp_path / "medium"
    copy.mkdir()
    filled(copy / "ledger.sqlite")
    subprocess.run(["mount", "--bind", copy, copy], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", copy], check=True)
        with Ledger.read(copy / "ledger.sqlite") as ledger:
            assert ledger.verify() == 4
    finally:
        subprocess.run(["umount", copy], check=True)


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(LedgerBroken, match="cannot be opened"):
        Ledger(path, lambda: NOW)


def test_a_ledger_that_somebody_holds_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path / "ledger.sqlite")
    monkeypatch.setattr(ledger, "_BUSY_SECONDS", 0.1)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with Ledger(path, lambda: NOW) as found:
        with pytest.raises(TimedOut, match="locked"):
            found.append("update", site="a")
        holder.close()
        assert found.append("update", site="a").sequence == 4


def test_a_ledger_that_cannot_grow_says_so(tmp_path: Path) -> None:
    path = filled(tmp_path / "ledger.sqlite")
    ledger = Ledger(path, lambda: NOW)
    ledger._db.execute("PRAGMA max_page_count=1")
    with pytest.raises(StorageFull) as caught:
        for _ in range(1000):
            ledger.append("update", filler="x" * 5000)
    assert "resume" in caught.value.hint
    assert ledger.verify() >= 4
