import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fixture_types import LocalRegistry, StartRegistry
from lines import tunnel
from notebook_federator.image.errors import (
    BlobDamaged,
    RegistryBusy,
    RegistryFailed,
    RegistryUnreachable,
)
from notebook_federator.image.registry import Registry, uploading
from notebook_federator.image.registry.content import RegistryContent
from notebook_federator.image.shapes import BytesContent, Descriptor, FileContent, digest_of
from servers import QUICK, Asked, Patience, Said, blob, serving

MB = 1 << 20


@pytest.mark.parametrize("size", [0, 1, MB, MB + 1, 3 * MB])
@pytest.mark.usefixtures("small_chunks")
def test_blobs_of_all_sizes(registry: LocalRegistry, size: int) -> None:
    client, (descriptor, content) = Registry(registry.address), blob(size)
    events: list[Mapping[str, Any]] = []
    assert client.push_blob("demo", descriptor, content, progress=events.append) == "uploaded"
    assert client.push_blob("demo", descriptor, content) == "present"
    with client.blob("demo", descriptor.digest) as stream:
        assert stream.read() == content.data
    last = {"event": "layer", "title": descriptor.digest[:19], "bytes": size, "total": size}
    assert events[-1] == last | {"state": "uploaded"}


def test_mounted_from_the_first_repository_that_has_it(registry: LocalRegistry) -> None:
    client, (descriptor, content) = Registry(registry.address), blob(1000)
    client.push_blob("base", descriptor, content)
    assert client.push_blob("demo", descriptor, content, mount_from=["nothing", "base"]) == "mounted"
    assert client.has_blob("demo", descriptor.digest)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("size", [1000, 3 * MB])
def test_bytes_that_are_not_those_of_the_digest_are_never_stored(
    registry: LocalRegistry, tmp_path: Path, size: int
) -> None:
    client, (descriptor, content) = Registry(registry.address), blob(size)
    changed = content.data[:-1] + bytes([content.data[-1] ^ 1])
    for data in (changed, content.data[:-1], content.data + b"x"):
        path = tmp_path / "layer"
        path.write_bytes(data)
        with pytest.raises(BlobDamaged) as caught:
            client.push_blob("demo", descriptor, FileContent(path))
        assert caught.value.where == str(path)
        assert not client.has_blob("demo", descriptor.digest)
    with pytest.raises(BlobDamaged):
        client.push_blob("demo", descriptor, FileContent(tmp_path / "gone"))


@pytest.mark.usefixtures("small_chunks")
def test_a_connection_cut_in_mid_upload(registry: LocalRegistry) -> None:
    descriptor, content = blob(4 * MB)
    with tunnel(registry.address) as line:
        line.cuts = [2 * MB + 5000, 3 * MB]
        client = Registry(line.address, patience=QUICK)
        assert client.push_blob("demo", descriptor, content) == "uploaded"
        assert line.cuts == []
    assert Registry(registry.address).has_blob("demo", descriptor.digest)


@pytest.mark.usefixtures("small_chunks")
def test_a_registry_that_is_away_for_a_while(start_registry: StartRegistry) -> None:
    started = start_registry()
    descriptor, content = blob(4 * MB)
    with tunnel(started.address) as line:
        client = Registry(line.address, patience=Patience(attempts=8, first=0.05, longest=0.2))

        def away(event: Mapping[str, Any]) -> None:
            if not gone:
                gone.append(event)
                line.close()
                threading.Timer(0.4, line.open).start()

        gone: list[Mapping[str, Any]] = []
        assert client.push_blob("demo", descriptor, content, progress=away) == "uploaded"
    assert gone[0]["state"] == "uploading"


@pytest.mark.usefixtures("small_chunks")
def test_a_registry_that_is_gone_for_good(start_registry: StartRegistry) -> None:
    started = start_registry()
    descriptor, content = blob(4 * MB)

    def kill(event: Mapping[str, Any]) -> None:
        started.process.kill()
        started.process.wait()

    client = Registry(started.address, patience=QUICK)
    with pytest.raises((RegistryUnreachable, RegistryFailed)) as caught:
        client.push_blob("demo", descriptor, content, progress=kill)
    assert caught.value.where == started.address
    assert caught.value.hint


def test_a_busy_registry_in_mid_upload() -> None:
    def answer(asked: Asked) -> Said:
        if asked.method == "HEAD":
            return Said(404)
        return Said(202, {"Location": "/u"}) if asked.method == "POST" else Said(429, {"Retry-After": "900"})

    descriptor, content = blob(1000)
    with serving(answer) as address, pytest.raises(RegistryBusy):
        Registry(address, patience=QUICK).push_blob("demo", descriptor, content)


def test_from_one_registry_to_another(start_registry: StartRegistry) -> None:
    source, target = Registry(start_registry().address), Registry(start_registry().address)
    descriptor, content = blob(20 * MB)
    source.push_blob("base", descriptor, content)
    streamed = RegistryContent(source, "base", descriptor.digest)
    assert target.push_blob("demo", descriptor, streamed) == "uploaded"
    assert target.has_blob("demo", descriptor.digest)


def test_a_damaged_blob_of_another_registry_is_not_taken(start_registry: StartRegistry) -> None:
    first = start_registry()
    source, target = Registry(first.address), Registry(start_registry().address)
    descriptor, content = blob(5000)
    source.push_blob("base", descriptor, content)
    name = descriptor.digest.partition(":")[2]
    path = first.folder / f"docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"
    path.write_bytes(bytes(5000))
    with pytest.raises(BlobDamaged):
        target.push_blob("demo", descriptor, RegistryContent(source, "base", descriptor.digest))
    assert not target.has_blob("demo", descriptor.digest)


MEASURED = """
import resource, sys
from itertools import pairwise
from pathlib import Path
from notebook_federator.image.registry import Registry
from notebook_federator.image.shapes import LAYER, Descriptor, FileContent
address, path, digest, size = sys.argv[1:]
client = Registry(address)
client.find_digest("demo", "v1")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
client.push_blob("demo", Descriptor(LAYER, digest, int(size)), FileContent(Path(path)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads ru_maxrss as kilobytes")
def test_memory_does_not_grow_with_the_blob(registry: LocalRegistry, tmp_path: Path) -> None:
    path, size = tmp_path / "layer", 200 * MB
    path.write_bytes(bytes(size))
    digest = digest_of(bytes(size))
    asked = [sys.executable, "-c", MEASURED, registry.address, str(path), digest, str(size)]
    grown = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout
    assert int(grown) < 16 * 1024  # kilobytes
    assert Registry(registry.address).has_blob("demo", digest)


def test_events_come_at_most_ten_times_a_second() -> None:
    events: list[tuple[float, str]] = []
    source = uploading.Source(
        Descriptor("x", digest_of(bytes(64 * MB)), 64 * MB),
        BytesContent(bytes(64 * MB)),
        lambda event: events.append((time.monotonic(), event["state"])),
    )
    for _ in source.blocks(0, 64 * MB):
        time.sleep(0.001)
    gaps = [after - before for (before, _), (after, _) in pairwise(events)]
    assert len(events) >= 2
    assert min(gaps) >= 0.09
    assert re.fullmatch("(uploading)+", "".join(state for _, state in events))
