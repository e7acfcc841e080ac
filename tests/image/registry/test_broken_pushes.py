import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixture_types import LocalRegistry, StartRegistry
from lines import tunnel
from nbfed_site.contracts import NbfedError
from notebook_federator.image.errors import (
    BlobDamaged,
    RegistryFailed,
    RegistryUnreachable,
)
from notebook_federator.image.pushing import Push
from notebook_federator.image.registry import Registry
from notebook_federator.image.shapes import FileContent
from pushes import Told, code, push, torch
from servers import QUICK
from small_images import image, layer


@pytest.fixture
def client(registry: LocalRegistry) -> Registry:
    return Registry(registry.address, patience=QUICK)


def test_a_damaged_layer_leaves_no_tag_and_may_be_added_again(client: Registry, tmp_path: Path) -> None:
    good, path = torch(), tmp_path / "layer"
    with good.content.open() as stream:
        data = stream.read()
    path.write_bytes(data[:-1] + b"?")
    made = image("client", replace(good, content=FileContent(path)), code())
    with Push(client, "team/demo", "team/nbfed-layers", Told()) as running:
        with pytest.raises(BlobDamaged) as caught:
            running.finish(made, "v1", replace=False)
        assert caught.value.where == str(path)
        assert client.find_digest("team/demo", "v1") is None
        path.write_bytes(data)
        assert running.finish(made, "v1", replace=False) == made.digest


def test_a_registry_that_dies_leaves_no_tag(start_registry: StartRegistry) -> None:
    started = start_registry()
    port = int(started.address.rpartition(":")[2])
    made = image("client", torch(), code())

    def die(event: Mapping[str, Any]) -> None:
        if event["state"] == "uploading":
            started.process.kill()
            started.process.wait()

    with (
        pytest.raises((RegistryUnreachable, RegistryFailed)),
        Push(Registry(started.address, patience=QUICK), "team/demo", None, die) as running,
    ):
        running.finish(made, "v1", replace=False)
    again = start_registry(port, storage={"filesystem": {"rootdirectory": str(started.folder)}})
    assert Registry(again.address, patience=QUICK).find_digest("team/demo", "v1") is None


def test_what_a_killed_registry_left_in_pieces_is_pushed_again(registry: LocalRegistry) -> None:
    """It makes a file first and fills it then: killed between, it knows of a blob that it cannot read."""
    client, made = Registry(registry.address, patience=QUICK), image("client", torch(), code())
    with Push(client, "team/demo", None, Told()) as running:
        running.finish(made, "v1", replace=False)
    links = list(registry.folder.glob("**/repositories/team/demo/_layers/sha256/*/link"))
    assert len(links) >= 2
    for link in links:
        link.write_bytes(b"")
    digest = torch().descriptor.digest
    with pytest.raises(RegistryFailed):
        client.has_blob("team/demo", digest)
    with Push(client, "team/demo", None, Told()) as running:
        running.finish(made, "v2", replace=False)
    assert client.has_blob("team/demo", digest)
    assert client.find_digest("team/demo", "v2") == made.digest
    assert all(link.read_bytes() for link in links)


def test_interrupted(client: Registry) -> None:
    big = layer("big", {"data": os.urandom(4_000_000)})
    began, resumed = threading.Event(), threading.Event()

    def stop_there(event: Mapping[str, Any]) -> None:
        began.set()
        resumed.wait(5)

    with pytest.raises(KeyboardInterrupt), Push(client, "team/demo", None, stop_there) as running:
        running.add(big)
        assert began.wait(5)
        threading.Timer(0.1, resumed.set).start()
        raise KeyboardInterrupt
    assert [thread for thread in threading.enumerate() if thread.name == "push"] == []
    assert not client.has_blob("team/demo", big.descriptor.digest)


def test_leaving_does_not_wait_for_a_registry_that_hangs(registry: LocalRegistry) -> None:
    hanging = threading.Event()
    with tunnel(registry.address) as line, pytest.raises(KeyboardInterrupt):
        client = Registry(line.address, patience=QUICK)
        client.find_digest("team/demo", "v1")
        registry.process.send_signal(signal.SIGSTOP)  # SIGSTOP: it takes requests, and never answers
        try:
            began = time.monotonic()
            with Push(client, "team/demo", None, Told()) as running:
                running.add(code())
                hanging.wait(0.2)
                raise KeyboardInterrupt
        finally:
            assert time.monotonic() - began < 4
            registry.process.send_signal(signal.SIGCONT)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_a_registry_that_hangs_for_good_is_given_up(registry: LocalRegistry, size: int) -> None:
    big = layer("big", {"data": os.urandom(size)})
    client = Registry(registry.address, patience=replace(QUICK, attempts=2, answer=0.5, commit=1.0))
    began, hung = time.monotonic(), []

    def hang(event: Mapping[str, Any]) -> None:
        if event["state"] == "uploading" and not hung:
            registry.process.send_signal(signal.SIGSTOP)
            hung.append(event)

    try:
        with (
            pytest.raises(RegistryUnreachable, match="does not answer") as caught,
            Push(client, "team/demo", None, hang) as running,
        ):
            running.finish(image("client", big), "v1", replace=False)
    finally:
        registry.process.send_signal(signal.SIGCONT)
    assert caught.value.where == registry.address
    assert time.monotonic() - began < 15
    push(client, image("client", big))
    assert client.find_digest("team/demo", "v1")


def test_errors_of_uploads_come_out_as_they_are(client: Registry, tmp_path: Path) -> None:
    missing = replace(code(), content=FileContent(tmp_path / "gone"))
    with pytest.raises(NbfedError) as caught:
        push(client, image("client", missing))
    assert isinstance(caught.value, BlobDamaged)
