import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixture_types import LocalRegistry, StartRegistry
from notebook_federator.image import layer_index
from notebook_federator.image.errors import (
    ReferenceInvalid,
    TagTaken,
)
from notebook_federator.image.pushing import Push, layers_repository
from notebook_federator.image.registry import Registry, RegistryContent
from notebook_federator.image.registry.transport import Request, Transport
from pushes import KEY, Told, code, push, torch
from servers import QUICK, login, serving
from small_images import image, layer
from tokens import TokenServer


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
    seconds = []
    for _ in range(3):  # the machine may be busy with other things
        requests.clear()
        with Push(client, "team/demo", None, Told()) as running:
            began = time.perf_counter()
            assert running.finish(made, "v1", replace=False) == made.digest
            seconds.append(time.perf_counter() - began)
        assert requests == [("HEAD", "/v2/team/demo/manifests/v1")]
    assert min(seconds) < 0.1


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


def test_shared_repository_of_a_namespace() -> None:
    assert layers_repository("team/group/demo", "ghcr.io") == "team/group/nbfed-layers"
    assert layers_repository("demo") == "nbfed-layers"
    assert layers_repository("team/demo", "docker.io") == "team/demo"
