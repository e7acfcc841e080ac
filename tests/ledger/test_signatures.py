"""Whatever is done to a signed ledger's entries is found; several processes may write one."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nbfed_site.contracts import LedgerBroken, canonical_json, digest, json_digest
from notebook_federator.ledger import GENESIS, Ledger, Signer

NOW = "2030-01-02T03:04:05Z"
COLUMNS = ("sequence", "at", "kind", "body", "previous", "hash", "signature")
COUNT = 8
Row = dict[str, object]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.make()[1]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with Ledger(path, lambda: NOW, signer=signer) as ledger:
        ledger.append("created", key=signer.public_key)
        for number in range(1, COUNT):
            ledger.append("update", site=f"site-{number}", weight=number)
    return path


def rewritten(original: Path, change: Callable[[list[Row]], object]) -> Path:
    """A copy whose rows went through ``change``, as whoever owns the file could write it."""
    path = original.with_name("copy.sqlite")
    shutil.copyfile(original, path)
    with sqlite3.connect(path) as db:
        rows: list[Row] = [
            dict(zip(COLUMNS, row, strict=True)) for row in db.execute("SELECT * FROM entries ORDER BY 1")
        ]
        change(rows)
        db.execute("DROP TRIGGER no_delete")
        db.execute("DELETE FROM entries")
        for row in rows:
            db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", [row[name] for name in COLUMNS])
    db.close()
    return path


def verify(path: Path, key: str | None = None, head: tuple[int, str] | None = None) -> int:
    with Ledger(path, lambda: NOW) as ledger:
        return ledger.verify(key, head)


def head_of(path: Path) -> tuple[int, str]:
    with Ledger(path, lambda: NOW) as ledger:
        return ledger.head()


def rehash(rows: list[Row]) -> None:
    """Chain the rows anew, as somebody does who knows the format but has not the key."""
    previous = GENESIS
    for sequence, row in enumerate(rows):
        row.update(sequence=sequence, previous=previous)
        body = digest(str(row["body"]).encode())
        head = {name: row[name] for name in ("sequence", "at", "kind", "previous")}
        row["hash"] = previous = json_digest({**head, "body": body})


def test_a_signed_ledger_holds(original: Path, signer: Signer) -> None:
    assert verify(original) == verify(original, signer.public_key) == COUNT
    assert verify(original, head=head_of(original)) == COUNT


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_is_found(data: st.DataObject, original: Path) -> None:
    row = data.draw(st.integers(0, COUNT - 1))
    column = data.draw(st.sampled_from(COLUMNS))
    chain_anew = data.draw(st.booleans()) and column in ("at", "kind", "body")

    def change(rows: list[Row]) -> None:
        old = rows[row][column]
        new = st.integers(100, 900) if column == "sequence" else st.text('ab{}":5Zé', max_size=20)
        rows[row][column] = data.draw(new.filter(lambda value: value != old))
        if chain_anew:
            rehash(rows)

    with pytest.raises(LedgerBroken):
        verify(rewritten(original, change))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(COUNT)), kept=st.integers(0, COUNT - 1), anew=st.booleans())
def test_any_removal_or_order_is_found(order: list[int], kept: int, anew: bool, original: Path) -> None:
    def change(rows: list[Row]) -> None:
        rows[:] = [rows[index] for index in order[:kept]]
        for sequence, row in enumerate(rows):
            row["sequence"] = sequence
        if anew:
            rehash(rows)

    path = rewritten(original, change)
    with pytest.raises(LedgerBroken):
        verify(path, head=head_of(original))
    if order[:kept] != list(range(kept)):  # anything but a cut at the end shows without a noted head
        with pytest.raises(LedgerBroken):
            verify(path)


def test_an_entry_of_whoever_has_no_key_is_found(original: Path, signer: Signer) -> None:
    copy = original.with_name("added.sqlite")
    shutil.copyfile(original, copy)
    with Ledger(copy, lambda: NOW) as ledger:
        ledger.append("site_added", site="intruder")
    with pytest.raises(LedgerBroken, match=f"Entry {COUNT} .* not signed"):
        verify(copy)


def test_a_whole_other_ledger_is_found_by_its_key(tmp_path: Path, signer: Signer) -> None:
    other = Signer.make()[1]
    path = tmp_path / "ledger.sqlite"
    with Ledger(path, lambda: NOW, signer=other) as ledger:
        ledger.append("created", key=other.public_key)
    assert verify(path) == 1
    with pytest.raises(LedgerBroken, match="another federation"):
        verify(path, signer.public_key)


def test_signatures_do_not_vanish(original: Path) -> None:
    def change(rows: list[Row]) -> None:
        rows[0]["body"] = canonical_json({}).decode()
        for row in rows:
            row["signature"] = ""
        rehash(rows)

    path = rewritten(original, change)
    with pytest.raises(LedgerBroken):
        verify(path, head=head_of(original))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), flip=st.integers(1, 255))
@example(place=0.4375, flip=128)  # text that is no UTF-8
def test_a_flipped_byte_is_found_or_changes_no_entry(place: float, flip: int, original: Path) -> None:
    data = bytearray(original.read_bytes())
    data[min(int(place * len(data)), len(data) - 1)] ^= flip
    path = original.with_name("flipped.sqlite")
    for old in path.parent.glob("flipped.sqlite*"):
        old.unlink(missing_ok=True)
    path.write_bytes(data)
    try:
        count = verify(path)
        with Ledger(path, lambda: NOW) as found, Ledger(original, lambda: NOW) as before:
            assert list(found.entries()) == list(before.entries())[:count]
    except LedgerBroken:
        pass


def test_processes_that_append_at_once_make_one_chain(tmp_path: Path) -> None:
    pem, signer = Signer.make()
    key, path = tmp_path / "key.pem", tmp_path / "ledger.sqlite"
    key.write_bytes(pem)
    with Ledger(path, lambda: NOW, signer=signer) as ledger:
        ledger.append("created", key=signer.public_key)
    code = (
        "import sys\nfrom pathlib import Path\nfrom notebook_federator.ledger import Ledger, Signer\n"
        "path, key, name = sys.argv[1:]\n"
        "with Ledger(Path(path), lambda: 'now', signer=Signer.load(Path(key))) as ledger:\n"
        "    for number in range(50): ledger.append('update', who=name, number=number)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, path, key, name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with Ledger(path, lambda: NOW) as ledger:
        assert ledger.verify(signer.public_key) == 151
        bodies = [entry.body for entry in ledger.entries("update")]
    for name in "abc":
        assert [body["number"] for body in bodies if body["who"] == name] == list(range(50))
