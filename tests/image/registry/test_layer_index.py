import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from fixture_types import LocalRegistry, StartRegistry
from notebook_federator.image import layer_index
from notebook_federator.image.errors import RepositoryUnknown
from notebook_federator.image.registry import Registry, RegistryContent
from notebook_federator.image.shapes import MANIFEST, Layer, digest_of
from servers import HTPASSWD, QUICK, blob

KEY = "ab" * 32


@pytest.fixture
def client(registry: LocalRegistry) -> Registry:
    return Registry(registry.address, patience=QUICK)


@pytest.fixture
def layer(client: Registry) -> Layer:
    """A layer whose blob is in ``layers``."""
    descriptor, content = blob(5000)
    client.push_blob("layers", descriptor, content)
    return Layer(descriptor, digest_of(b"tar"), 9999, "torch 2.13.0+cpu", content, KEY)


def test_a_recorded_layer_is_found_as_it_was(client: Registry, layer: Layer) -> None:
    layer_index.record(client, "layers", layer)
    found = layer_index.find(client, "layers", KEY)
    assert found == replace(layer, content=RegistryContent(client, "layers", layer.descriptor.digest))
    with found.content.open() as stream, layer.content.open() as own:
        assert stream.read() == own.read()


def test_the_entry_protects_the_blob(client: Registry, layer: Layer) -> None:
    layer_index.record(client, "layers", layer)
    manifest = json.loads(client.manifest("layers", f"layer-{KEY[:32]}").data)
    assert manifest["artifactType"] == layer_index.ARTIFACT
    assert [item["digest"] for item in manifest["layers"]] == [layer.descriptor.digest]


def test_the_registrys_garbage_collection_leaves_the_blob(
    client: Registry, layer: Layer, tmp_path: Path
) -> None:
    program = shutil.which("docker-registry") or shutil.which("registry")
    assert program is not None
    stray, content = blob(1000)
    client.push_blob("layers", stray, content)
    layer_index.record(client, "layers", layer)
    collect = [program, "garbage-collect", str(tmp_path / "registry-0.yml")]
    subprocess.run(collect, check=True, capture_output=True, timeout=30)
    other = Registry(client.name, patience=QUICK)
    with layer.content.open() as own, other.blob("layers", layer.descriptor.digest) as stream:
        assert stream.read() == own.read()
    with pytest.raises(RepositoryUnknown):
        other.blob("layers", stray.digest)


def test_what_is_not_known(client: Registry, layer: Layer) -> None:
    assert layer_index.find(client, "nothing", KEY) is None
    layer_index.record(client, "layers", layer)
    assert layer_index.find(client, "layers", KEY[:32] + "cd" * 16) is None  # same tag, another key
    assert layer_index.find(client, "layers", "cd" * 32) is None


def test_a_tag_of_another_origin_is_no_layer(client: Registry, layer: Layer) -> None:
    layer_index.record(client, "layers", layer)
    manifest = json.loads(client.manifest("layers", layer_index.tag(KEY)).data)
    for broken in (
        {key: value for key, value in manifest.items() if key != "annotations"},
        manifest | {"layers": []},
        manifest | {"annotations": manifest["annotations"] | {"org.notebook-federator.layer.unpacked": "x"}},
    ):
        client.push_manifest("layers", layer_index.tag(KEY), json.dumps(broken).encode(), MANIFEST)
        assert layer_index.find(client, "layers", KEY) is None


def test_who_may_not_read_the_index_knows_no_layer(start_registry: StartRegistry, tmp_path: Path) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(HTPASSWD)
    address = start_registry(auth={"htpasswd": {"realm": "test", "path": str(path)}}).address
    assert layer_index.find(Registry(address), "layers", KEY) is None
