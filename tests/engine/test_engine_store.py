"""The store of objects: proof before use, files shared and used again, nothing left behind."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nbfed_site.link.pack import CHUNK_BYTES, Slot, chunk_head, chunk_id, chunks_of, total_bytes
from nbfed_site.link.records import content_of, objects_of
from notebook_federator.rounds.object_store import RunFile, SpillingStore
from notebook_federator.rounds.uploads import Upload

BODY = np.arange(CHUNK_BYTES // 4, dtype=np.float32)
OTHER = BODY + 1


def announce(store: SpillingStore, arrays: dict[str, Any]) -> tuple[str, RunFile, dict[str, Any]]:
    """Register a reply with ``arrays`` and its small objects; its root, its file, and its chunks by id."""
    slots: list[Slot] = []
    chunks = list(chunks_of(arrays, "fp32", slots))
    ids = [chunk_id(chunk) for chunk in chunks]
    tree, objects = objects_of(content_of({}, total_bytes(slots), ids))
    store.preregister(0, tree)
    for object_id, data in objects.items():
        store.put(object_id, data)
    run_id = next(array.object_id for record in tree.children for array in record.children)
    file = store.find_file(run_id)
    assert file is not None
    return tree.object_id, file, dict(zip(ids, chunks, strict=True))


def send(store: SpillingStore, file: RunFile | None, object_id: str, chunk: Any) -> None:
    length = sum(map(len, chunk))
    upload = Upload(store, object_id, file, length + len(chunk_head(length)))
    try:
        upload.write([chunk_head(length)])
        for piece in chunk:
            upload.write([piece])
        upload.finish()
    finally:
        upload.close()


def test_a_chunk_is_readable_once_its_bytes_are_proved(tmp_path: Path) -> None:
    store = SpillingStore(tmp_path, 2)
    _, file, chunks = announce(store, {"w": BODY})
    ((object_id, chunk),) = chunks.items()
    assert store.get(object_id) == b""
    send(store, file, object_id, chunk)
    content = store.get(object_id)
    assert content == chunk_head(BODY.nbytes) + BODY.tobytes()
    assert hashlib.sha256(content).hexdigest() == object_id


def test_other_bytes_than_announced_are_refused_and_can_be_sent_again(tmp_path: Path) -> None:
    store = SpillingStore(tmp_path, 2)
    _, file, chunks = announce(store, {"w": BODY})
    ((object_id, chunk),) = chunks.items()
    with pytest.raises(ValueError, match="other content"):
        send(store, file, object_id, [OTHER.view(np.uint8).data])
    assert store.get(object_id) == b""
    send(store, file, object_id, chunk)
    assert store.get(object_id) == chunk_head(BODY.nbytes) + BODY.tobytes()


def test_a_site_cannot_spoil_a_chunk_that_it_shares_with_another(tmp_path: Path) -> None:
    store = SpillingStore(tmp_path, 2)
    _, honest, chunks = announce(store, {"w": BODY, "mine": OTHER})
    _, hostile, _ = announce(store, {"w": BODY})
    object_id, chunk = next(iter(chunks.items()))
    upload = Upload(store, object_id, hostile, BODY.nbytes + len(chunk_head(BODY.nbytes)))
    upload.write([chunk_head(BODY.nbytes) + OTHER.tobytes()[: CHUNK_BYTES // 2]])
    send(store, honest, object_id, chunk)
    upload.write([OTHER.tobytes()[CHUNK_BYTES // 2 :]])
    with pytest.raises(ValueError, match="other content"):
        upload.finish()
    upload.close()
    assert honest.read(0) == hostile.read(0) == BODY.tobytes()


def test_a_chunk_that_is_here_fills_the_replies_that_share_it(tmp_path: Path) -> None:
    store = SpillingStore(tmp_path, 2)
    root, first, chunks = announce(store, {"frozen": BODY})
    for object_id, chunk in chunks.items():
        send(store, first, object_id, chunk)
    _, second, more = announce(store, {"head": OTHER, "frozen": BODY})
    assert second.read(1) == BODY.tobytes()
    store.delete(root)
    shared = set(chunks) & set(more)
    assert shared
    assert all(store.get(object_id) for object_id in shared)


def test_repeated_chunks_take_all_their_places(tmp_path: Path) -> None:
    store = SpillingStore(tmp_path, 2)
    _, file, chunks = announce(store, {"w": np.concatenate([BODY, OTHER, BODY])})
    assert len(chunks) == 2
    for object_id, chunk in chunks.items():
        send(store, file, object_id, chunk)
    assert [file.read(i) for i in range(3)] == [BODY.tobytes(), OTHER.tobytes(), BODY.tobytes()]


def test_chunks_without_their_array_and_large_objects_of_other_kinds_are_refused(tmp_path: Path) -> None:
    store = SpillingStore(tmp_path, 2)
    _, _, chunks = announce(store, {"w": BODY})
    ((object_id, chunk),) = chunks.items()
    with pytest.raises(ValueError, match="before its array"):
        send(store, None, object_id, chunk)
    upload = Upload(store, object_id, None, 2 << 20)
    with pytest.raises(ValueError, match="too large"):
        upload.write([b"ConfigRecord  2097152\0".ljust(2 << 20)])


def test_what_nobody_holds_is_gone_and_files_are_used_again(tmp_path: Path) -> None:
    store = SpillingStore(tmp_path, 1)
    for _ in range(4):
        roots = []
        for arrays in ({"w": BODY}, {"w": OTHER}, {"w": BODY, "v": OTHER}):
            root, file, chunks = announce(store, arrays)
            for object_id, chunk in chunks.items():
                if not store.get(object_id):
                    send(store, file, object_id, chunk)
            roots.append(root)
        for root in roots:
            store.delete(root)
        assert len(store) == 0
        assert len(list(tmp_path.glob("*.run"))) == 1
    store.clear()
    assert not list(tmp_path.iterdir())
