import pytest
from notebook_federator.image.errors import RegistryFailed, RegistryFull
from notebook_federator.image.registry import Registry, uploading
from resumable import Uploads, running
from servers import QUICK, blob

MB = 1 << 20


@pytest.mark.usefixtures("small_chunks")
def test_resumed_at_the_byte_that_the_registry_names() -> None:
    descriptor, content = blob(3 * MB)
    uploads = Uploads(breaks=[700_001, 0, 100_000])
    with running(uploads) as address:
        assert Registry(address, patience=QUICK).push_blob("demo", descriptor, content) == "uploaded"
    assert uploads.stored == content.data
    starts = [int(item.partition("-")[0]) for item in uploads.ranges]
    assert starts[:4] == [0, 700_001, 700_001, 800_001]


@pytest.mark.usefixtures("small_chunks")
def test_chunks_are_as_long_as_the_registry_asks() -> None:
    descriptor, content = blob(3 * MB)
    uploads = Uploads(least=2 * MB)
    with running(uploads) as address:
        Registry(address, patience=QUICK).push_blob("demo", descriptor, content)
    assert uploads.ranges == [f"0-{2 * MB - 1}", f"{2 * MB}-{3 * MB - 1}"]


def test_chunks_grow_while_they_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "CHUNK", MB)
    monkeypatch.setattr(uploading, "SMALL", MB)
    monkeypatch.setattr(uploading, "LARGEST_CHUNK", 3 * MB)
    descriptor, content = blob(10 * MB)
    uploads = Uploads()
    with running(uploads) as address:
        Registry(address, patience=QUICK).push_blob("demo", descriptor, content)
    assert [int(item.partition("-")[0]) // MB for item in uploads.ranges] == [0, 1, 3, 6, 9]


def test_smaller_chunks_where_a_proxy_wants_no_large_ones() -> None:
    descriptor, content = blob(20 * MB)
    uploads = Uploads(largest=10 * MB)
    with running(uploads) as address:
        Registry(address, patience=QUICK).push_blob("demo", descriptor, content)
    assert uploads.stored == content.data
    uploads = Uploads(largest=MB)
    with running(uploads) as address, pytest.raises(RegistryFull):
        Registry(address, patience=QUICK).push_blob("demo", descriptor, content)


@pytest.mark.usefixtures("small_chunks")
def test_in_one_piece_where_a_registry_knows_no_chunks() -> None:
    descriptor, content = blob(3 * MB)
    uploads = Uploads(chunks=False)
    with running(uploads) as address:
        Registry(address, patience=QUICK).push_blob("demo", descriptor, content)
    assert uploads.stored == content.data
    assert len(uploads.ranges) == 1


@pytest.mark.usefixtures("small_chunks")
def test_a_connection_that_breaks_always_is_given_up() -> None:
    descriptor, content = blob(3 * MB)
    with running(Uploads(breaks=[0] * 99)) as address, pytest.raises(RegistryFailed) as caught:
        Registry(address, patience=QUICK).push_blob("demo", descriptor, content)
    assert "a proxy on the way may limit sizes" in caught.value.hint
