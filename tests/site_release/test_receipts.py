"""Receipts: chained, durable, and any change is found."""

import json
import resource
import signal
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbfed_site.contracts import LedgerBroken, RoundInput, StorageFull
from nbfed_site.keys import generate_key, private_key, sign
from nbfed_site.receipts import Receipts, arrays_digest, is_sound, read_receipts

TASK = RoundInput("t1", "train", 2)
ARRAYS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3)}


def now() -> datetime:
    return datetime(2026, 11, 23, 14, 0, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    receipts = Receipts(tmp_path / "site" / "receipts.jsonl", now)
    receipts.record("received", TASK, ARRAYS, {"bytes": 32})
    receipts.record("released", TASK, ARRAYS, {"bytes": 32, "examples": 20, "metrics": "loss"})
    receipts.record("refused", TASK, None, {"reason": "NE603"})
    return tmp_path / "site" / "receipts.jsonl"


def test_entries_are_chained_and_read_by_people(path: Path) -> None:
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["event"] for entry in entries] == ["received", "released", "refused"]
    assert [entry["sequence"] for entry in entries] == [0, 1, 2]
    assert entries[0]["previous"] == "sha256:" + "0" * 64
    assert entries[1]["previous"] == entries[0]["hash"]
    assert entries[0]["at"] == "2026-11-23T14:00:00+00:00"
    assert entries[0]["arrays_digest"] == arrays_digest(ARRAYS)
    assert entries[2]["arrays_digest"] == ""
    assert read_receipts(path)[-1].hash == entries[2]["hash"]


def test_a_restarted_site_goes_on_with_the_chain(path: Path) -> None:
    receipt = Receipts(path, now).record("received", TASK, None, {})
    assert receipt.sequence == 3
    assert read_receipts(path)[-1] == receipt


def test_signatures_tell_whose_record_it_is(tmp_path: Path) -> None:
    own, other = generate_key(tmp_path / "own.pem"), generate_key(tmp_path / "other.pem")
    key, path = private_key(tmp_path / "own.pem"), tmp_path / "receipts.jsonl"
    receipts = Receipts(path, now, lambda text: sign(key, text.encode()))
    receipts.note("approved", {"image": "study@sha256:1", "slice": "sha256:2"})
    receipts.note("joined", {"kit": "sha256:3"})
    receipts.record("received", TASK, ARRAYS, {"bytes": 32})
    found = read_receipts(path, own)
    assert [entry.event for entry in found] == ["approved", "joined", "received"]
    assert [is_sound(entry, own) for entry in found] == [True] * 3
    assert (found[0].task_id, found[0].kind, found[0].round, found[0].arrays_digest) == ("", "", 0, "")
    with pytest.raises(LedgerBroken, match="line 1"):
        read_receipts(path, other)
    unsigned = Receipts(path, now).note("joined", {"kit": "sha256:4"})
    assert read_receipts(path)[-1] == unsigned
    with pytest.raises(LedgerBroken, match="line 4"):
        read_receipts(path, own)


def test_a_line_cut_off_by_a_crash_is_dropped(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(LedgerBroken, match="not as they were written"):
        read_receipts(path)
    assert Receipts(path, now).record("received", TASK, None, {}).sequence == 2
    path.write_bytes(b'{"sequence":0')
    assert Receipts(path, now).record("received", TASK, None, {}).sequence == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_any_changed_byte_is_found(path: Path, data) -> None:
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[position]))
    path.write_bytes(whole[:position] + bytes([byte]) + whole[position + 1 :])
    try:
        with pytest.raises(LedgerBroken):
            read_receipts(path)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("order", [[0, 2], [1, 2], [0, 1, 1], [1, 0, 2], [0, 0, 1, 2]])
def test_removed_repeated_and_reordered_entries_are_found(path: Path, order: list[int]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[position] for position in order))
    with pytest.raises(LedgerBroken, match="line"):
        read_receipts(path)
    with pytest.raises(LedgerBroken):
        Receipts(path, now)


def test_a_receipt_that_cannot_be_written_is_an_error(path: Path) -> None:
    receipts = Receipts(path, now)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageFull):
        receipts.record("received", TASK, None, {})


def test_what_a_full_disk_cut_off_does_not_spoil_later_entries(path: Path) -> None:
    receipts = Receipts(path, now)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, limits[1]))
    try:
        with pytest.raises(StorageFull):
            receipts.record("released", TASK, None, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    receipts.record("refused", TASK, None, {})
    assert [entry.event for entry in read_receipts(path)] == ["received", "released", "refused", "refused"]


def test_the_digest_tells_names_shapes_dtypes_values_and_order_apart() -> None:
    base = ARRAYS["w"]
    variants = [
        {"w": base},
        {"v": base},
        {"w": base.reshape(3, 2)},
        {"w": base.view(np.int32)},
        {"w": base + 1},
        {"w": base, "n": ARRAYS["n"]},
        {"n": ARRAYS["n"], "w": base},
        {},
    ]
    assert len({arrays_digest(arrays) for arrays in variants}) == len(variants)
    assert arrays_digest({"w": np.asfortranarray(base)}) == arrays_digest({"w": base})


def test_a_large_array_is_digested_chunk_by_chunk() -> None:
    large = np.zeros(5_000_000, np.float32)
    before = arrays_digest({"w": large})
    large[-1] = 1
    assert arrays_digest({"w": large}) != before
