import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixture_types import LocalRegistry, StartRegistry
from nbfed_site.contracts import NbfedError
from notebook_federator.image import layer_index
from notebook_federator.image.errors import (
    BlobDamaged,
    ReferenceInvalid,
    RegistryFailed,
    RegistryUnreachable,
    TagTaken,
)
from notebook_federator.image.pushing import Push, layers_repository
from notebook_federator.image.registry import Registry, RegistryContent
from notebook_federator.image.registry.transport import Request, Transport
from notebook_federator.image.shapes import BuiltImage, FileContent, Layer
from servers import QUICK, TokenServer, login, serving, tunnel
from small_images import image, layer

KEY = "cd" * 32


class Told:
    """Collects progress: the states by title."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)

    @property
    def states(self) -> dict[str, str]:
        return {event["title"]: event["state"] for event in self.events}

    @property
    def notes(self) -> list[str]:
        return [event["title"] for event in self.events if event["state"] == "note"]


@pytest.fixture
def client(registry: LocalRegistry) -> Registry:
    return Registry(registry.address, patience=QUICK)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every request from now on: method and path."""
    made: list[tuple[str, str]] = []
    once = Transport._once

    def counted(self: Transport, request: Request) -> Any:
        made.append((request.method, "/" + request.url.split("/", 3)[3]))
        return once(self, request)

    monkeypatch.setattr(Transport, "_once", counted)
    return made


def torch() -> Layer:
    return replace(layer("torch", {"torch.so": bytes(range(256)) * 400}), key=KEY)


def code(text: str = "") -> Layer:
    return layer("slice", {"slice.py": text.encode()})


def push(client: Registry, made: BuiltImage, tag: str = "v1", repository: str = "team/demo") -> Told:
    told = Told()
    with Push(client, repository, layers_repository(repository), told) as running:
        for each in made.layers:
            running.add(each)
        running.finish(made, tag, replace=False)
    return told


def test_layers_are_shared_by_the_images_of_a_namespace(client: Registry) -> None:
    told = push(client, image("client", torch(), code()))
    assert told.states == {"torch": "mounted", "slice": "uploaded"}
    known = layer_index.find(client, "team/nbfed-layers", KEY)
    assert known is not None
    told = push(client, image("client", known, code("other")), repository="team/other")
    assert told.states == {"torch": "mounted", "slice": "uploaded"}
    assert "uploading" not in [event["state"] for event in told.events if event["title"] == "torch"]


def test_the_image_is_there_as_it_was_made(client: Registry) -> None:
    made = image("client", torch(), code())
    push(client, made)
    fetched = client.manifest("team/demo", "v1")
    assert (fetched.data, fetched.digest) == (made.manifest, made.digest)
    for blob in (json.loads(made.manifest)["config"], *json.loads(made.manifest)["layers"]):
        with client.blob("team/demo", blob["digest"]) as stream:
            assert len(stream.read()) == blob["size"]


def test_two_images_by_one_push(client: Registry) -> None:
    shared, told = torch(), Told()
    server, trainer = image("server", code("server")), image("client", shared, code("client"))
    with Push(client, "team/demo", "team/nbfed-layers", told) as running:
        for each in (*server.layers, *trainer.layers, *trainer.layers):
            running.add(each)
        running.finish(server, "server-v1", replace=False)
        running.finish(trainer, "client-v1", replace=False)
    assert client.find_digest("team/demo", "server-v1") == server.digest
    assert client.find_digest("team/demo", "client-v1") == trainer.digest
    assert [event["state"] for event in told.events].count("mounted") == 1


def test_an_unchanged_image_costs_one_request(client: Registry, requests: list[tuple[str, str]]) -> None:
    made = image("client", torch(), code())
    push(client, made)
    requests.clear()
    with Push(client, "team/demo", None, Told()) as running:
        began = time.perf_counter()
        assert running.finish(made, "v1", replace=False) == made.digest
        assert time.perf_counter() - began < 0.1
    assert requests == [("HEAD", "/v2/team/demo/manifests/v1")]


def test_a_changed_line_uploads_one_layer(client: Registry, requests: list[tuple[str, str]]) -> None:
    push(client, image("client", torch(), code("one")))
    requests.clear()
    told = push(client, image("client", torch(), code("two")), "v2")
    assert told.states == {"torch": "present", "slice": "uploaded"}
    assert len(requests) <= 9  # tag; torch; slice, configuration: HEAD, POST, PUT each; manifest


def test_a_tag_of_another_image_is_kept(client: Registry) -> None:
    first, second = image("client", code("one")), image("client", code("two"))
    push(client, first)
    with pytest.raises(TagTaken) as caught:
        push(client, second)
    assert first.digest[:19] in caught.value.where
    assert client.find_digest("team/demo", "v1") == first.digest
    with Push(client, "team/demo", None, Told()) as running:
        running.finish(second, "v1", replace=True)
    assert client.find_digest("team/demo", "v1") == second.digest


def test_an_illegal_tag(client: Registry) -> None:
    with pytest.raises(ReferenceInvalid):
        push(client, image("client", code()), "no tag")


def test_a_base_of_the_same_registry_is_mounted(client: Registry) -> None:
    base = layer("base", {"os": b"x" * 999})
    client.push_blob("library/base", base.descriptor, base.content)
    there = replace(base, content=RegistryContent(client, "library/base", base.descriptor.digest))
    told = push(client, image("client", there, code()))
    assert told.states == {"base": "mounted", "slice": "uploaded"}
    assert client.find_manifest("team/nbfed-layers", "any") is None


def test_a_base_of_another_registry_crosses_once(start_registry: StartRegistry) -> None:
    source = Registry(start_registry().address, patience=QUICK)
    target = Registry(start_registry().address, patience=QUICK)
    base = layer("base", {"os": b"x" * 999})
    source.push_blob("library/base", base.descriptor, base.content)
    there = replace(base, content=RegistryContent(source, "library/base", base.descriptor.digest))
    first = push(target, image("client", there, code("one")), repository="team/one")
    assert "uploaded" in [event["state"] for event in first.events if event["title"] == "base"]
    second = push(target, image("client", there, code("two")), repository="team/two")
    assert [event["state"] for event in second.events if event["title"] == "base"] == ["present", "mounted"]


def test_without_the_right_to_share_layers(start_registry: StartRegistry, tmp_path: Path, home: Path) -> None:
    def allowed(user: str, repository: str) -> set[str]:
        return set() if repository.endswith("nbfed-layers") else {"pull", "push"}

    tokens = TokenServer(tmp_path, allowed)
    with serving(tokens.answer) as token_address:
        address = start_registry(**tokens.configuration(token_address)).address
        login(home, address)
        client = Registry(address, patience=QUICK)
        told = push(client, image("client", torch(), code()))
        assert told.states["torch"] == "uploaded"
        assert len(told.notes) == 1
        assert told.notes[0].startswith("no layers are shared in team/nbfed-layers")
        assert layer_index.find(client, "team/demo", KEY) is not None
        with Push(client, "team/demo", "team/nbfed-layers", Told()) as running:
            assert running.known(KEY) is not None
            assert running.known("00" * 32) is None


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
        registry.process.send_signal(19)  # SIGSTOP: it takes requests, and never answers
        try:
            began = time.monotonic()
            with Push(client, "team/demo", None, Told()) as running:
                running.add(code())
                hanging.wait(0.2)
                raise KeyboardInterrupt
        finally:
            assert time.monotonic() - began < 4
            registry.process.send_signal(18)


def test_shared_repository_of_a_namespace() -> None:
    assert layers_repository("team/group/demo", "ghcr.io") == "team/group/nbfed-layers"
    assert layers_repository("demo") == "nbfed-layers"
    assert layers_repository("team/demo", "docker.io") == "team/demo"


def test_errors_of_uploads_come_out_as_they_are(client: Registry, tmp_path: Path) -> None:
    missing = replace(code(), content=FileContent(tmp_path / "gone"))
    with pytest.raises(NbfedError) as caught:
        push(client, image("client", missing))
    assert isinstance(caught.value, BlobDamaged)
