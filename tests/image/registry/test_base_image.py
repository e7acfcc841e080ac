import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fixture_types import LocalRegistry
from notebook_federator.image import base_image
from notebook_federator.image.base_image import BaseImage, resolve
from notebook_federator.image.base_python import Python
from notebook_federator.image.cache import Cache
from notebook_federator.image.errors import BaseUnsuitable, RegistryUnreachable
from notebook_federator.image.registry import Registry, RegistryContent
from notebook_federator.image.registry.client import DOCKER_LIST, DOCKER_MANIFEST
from notebook_federator.image.shapes import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    BytesContent,
    Descriptor,
    Platform,
    digest_of,
)
from servers import QUICK

AMD64 = Platform("linux", "amd64")
OFFICIAL = ["PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin", "PYTHON_VERSION=3.11.9"]
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
Entry = tuple[str, str]  # a name and the target of its link; a folder ends with a slash


def packed(entries: Iterable[Entry]) -> tuple[bytes, bytes]:
    """A layer of empty files, links and folders: compressed, and as it was."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, target in entries:
            item = tarfile.TarInfo(name.rstrip("/"))
            item.type = (
                tarfile.DIRTYPE if name.endswith("/") else tarfile.SYMTYPE if target else tarfile.REGTYPE
            )
            item.linkname = target
            tar.addfile(item)
    plain = out.getvalue()
    half = len(plain) // 2  # two gzip members, as layers made here have them
    return gzip.compress(plain[:half]) + gzip.compress(plain[half:]), plain


class Maker:
    """Pushes base images to one registry and resolves them."""

    def __init__(self, address: str, cache: Cache) -> None:
        self.client = Registry(address, patience=QUICK)
        self.cache = cache

    def put(self, data: bytes, media_type: str) -> dict[str, Any]:
        descriptor = Descriptor(media_type, digest_of(data), len(data))
        self.client.push_blob("base", descriptor, BytesContent(data))
        return descriptor.to_json()

    def image(
        self,
        *layers: Sequence[Entry],
        tag: str = "v1",
        config: dict[str, Any] | None = None,
        architecture: str = "amd64",
        layer_type: str = LAYER,
        kind: str = MANIFEST,
    ) -> dict[str, Any]:
        made = [packed(entries) for entries in (layers or [[("etc/os-release", "")]])]
        document = {
            "os": "linux",
            "architecture": architecture,
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(plain) for _, plain in made]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": self.put(json.dumps(document).encode(), CONFIG),
            "layers": [self.put(data, layer_type) for data, _ in made],
        }
        data = json.dumps(manifest).encode()
        self.client.push_manifest("base", tag, data, kind)
        return Descriptor(kind, digest_of(data), len(data)).to_json()

    def index(self, *items: tuple[dict[str, Any], str, str], kind: str = INDEX) -> None:
        manifests = [item | {"platform": {"os": os, "architecture": arch}} for item, os, arch in items]
        data = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}).encode()
        self.client.push_manifest("base", "all", data, kind)

    def resolve(self, reference: str = "v1", platform: Platform = AMD64) -> BaseImage:
        joint = "@" if ":" in reference else ":"
        name = f"{self.client.name}/base{joint}{reference}"
        return resolve(name, platform, self.cache, lambda host: self.client)


@pytest.fixture
def maker(registry: LocalRegistry, tmp_path: Path) -> Maker:
    return Maker(registry.address, Cache(tmp_path / "cache"))


def test_an_official_image(maker: Maker) -> None:
    made = maker.image([("a", "")], [("b", "")], config={"Env": OFFICIAL})
    found = maker.resolve()
    assert found.reference == f"{maker.client.name}/base@{made['digest']}"
    assert found.python == Python("/usr/local/bin/python3", "3.11")
    assert found.config["config"]["Env"] == OFFICIAL
    assert [layer.title for layer in found.layers] == ["base layer 1 of 2", "base layer 2 of 2"]
    for layer, entries in zip(found.layers, ([("a", "")], [("b", "")]), strict=True):
        assert layer.diff_id == digest_of(packed(entries)[1])
        assert layer.content == RegistryContent(maker.client, "base", layer.descriptor.digest)


def test_by_digest_from_the_cache_without_a_registry(registry: LocalRegistry, maker: Maker) -> None:
    maker.image(config={"Env": OFFICIAL})
    first = maker.resolve()
    digest = first.reference.partition("@")[2]
    registry.process.kill()
    registry.process.wait()
    assert maker.resolve(digest) == first
    with pytest.raises(RegistryUnreachable):
        maker.resolve("v1")
    for path in (maker.cache.root / "documents").iterdir():
        path.write_text(path.read_text().replace("3.11.9", "3.12.9"))
    with pytest.raises(RegistryUnreachable):  # a damaged document is not believed
        maker.resolve(digest)


def test_layers_of_an_image_are_searched_once_whatever_it_is_called(
    registry: LocalRegistry, maker: Maker
) -> None:
    maker.image(FEDORA)
    first = maker.resolve("v1")
    shutil.rmtree(
        registry.folder / "docker/registry/v2/blobs" / _blob_folder(first.layers[0].descriptor.digest)
    )
    assert maker.resolve("v1") == first


def _blob_folder(digest: str) -> str:
    """Where a registry keeps a blob's bytes."""
    name = digest.partition(":")[2]
    return f"sha256/{name[:2]}/{name}"


@pytest.mark.parametrize("kind", [INDEX, DOCKER_LIST])
def test_the_platform_is_chosen_from_an_index(maker: Maker, kind: str) -> None:
    arm = maker.image(tag="arm", architecture="arm64", config={"Env": OFFICIAL})
    amd = maker.image(tag="amd", config={"Env": OFFICIAL})
    maker.index((amd, "unknown", "unknown"), (arm, "linux", "arm64"), (amd, "linux", "amd64"), kind=kind)
    assert maker.resolve("all").reference.endswith(amd["digest"])
    assert maker.resolve("all", Platform("linux", "arm64")).reference.endswith(arm["digest"])
    index_digest = maker.client.find_digest("base", "all")
    assert index_digest is not None
    assert maker.resolve(index_digest).reference.endswith(amd["digest"])
    with pytest.raises(BaseUnsuitable, match="not made for linux/riscv64") as caught:
        maker.resolve("all", Platform("linux", "riscv64"))
    assert "linux/amd64, linux/arm64" in caught.value.hint


def test_dockers_media_types_become_those_of_the_specification(maker: Maker) -> None:
    maker.image(config={"Env": OFFICIAL}, layer_type=DOCKER_LAYER, kind=DOCKER_MANIFEST)
    assert [layer.descriptor.media_type for layer in maker.resolve().layers] == [LAYER]


def test_the_label_says_it(maker: Maker) -> None:
    label = {"org.notebook-federator.python": "/usr/bin/python3:3.11"}
    maker.image(config={"Labels": label, "Env": [OFFICIAL[0], "PYTHON_VERSION=3.13.1"]})
    assert maker.resolve().python == Python("/usr/bin/python3", "3.11")


FEDORA = [("bin", "usr/bin"), ("usr/bin/python3", "python3.12"), ("usr/bin/python3.12", "")]
LOCAL = [("usr/local/bin/python3", "python3.11"), ("usr/local/bin/python3.11", "")]
FAR = "../../opt/py/bin/python3.13"
DEBIAN = [("./usr/bin/python3", "/etc/alternatives/python3"), ("etc/alternatives/python3", FAR)]
OWN = [("sbin/python3", ""), ("sbin/python3.14", "python3"), ("sbin/python3.2", "elsewhere")]
BARE = [("usr/bin/python3", ""), ("usr/bin/python3.11", "")]


@pytest.mark.parametrize(
    ("layers", "path", "version"),
    [
        ([FEDORA], "/usr/bin/python3", "3.12"),
        ([FEDORA, LOCAL], "/usr/local/bin/python3", "3.11"),
        ([LOCAL, [*FEDORA, ("usr/local/bin/.wh.python3", "")]], "/usr/bin/python3", "3.12"),
        ([LOCAL, [("usr/local/.wh..wh..opq", ""), *FEDORA]], "/usr/bin/python3", "3.12"),
        ([LOCAL, [("usr/.wh.local", "")], FEDORA], "/usr/bin/python3", "3.12"),
        ([LOCAL, [("usr/local/bin/python3/", "")], FEDORA], "/usr/bin/python3", "3.12"),
        ([DEBIAN, [("opt/py/bin/python3.13", "")]], "/usr/bin/python3", "3.13"),
        ([OWN], "/sbin/python3", "3.14"),
        ([BARE, [("usr/bin/.wh.python3.11", "")], FEDORA], "/usr/bin/python3", "3.12"),
    ],
)
def test_python_by_the_names_of_files(
    maker: Maker, layers: list[list[Entry]], path: str, version: str
) -> None:
    maker.image(*layers)
    assert maker.resolve().python == Python(path, version)


def test_the_images_own_path_is_followed(maker: Maker) -> None:
    conda = [("opt/conda/bin/python3", "python3.11"), ("opt/conda/bin/python3.11", "")]
    maker.image(FEDORA, conda, config={"Env": ["PATH=/opt/conda/bin:/usr/bin", "PYTHON_VERSION=3.9"]})
    assert maker.resolve().python == Python("/opt/conda/bin/python3", "3.11")


@pytest.mark.parametrize(
    ("layers", "config", "what"),
    [
        ([[("etc/os-release", "")]], {}, "no Python"),
        ([[("usr/bin/python3", "python3"), ("usr/bin/python", "")]], {}, "no Python"),
        ([[("usr/bin/python3", "")]], {}, "no Python whose version"),
        ([[("usr/bin/python3", "python3.9"), ("usr/bin/python3.9", "")]], {}, "has Python 3.9"),
        ([[("a", "")]], {"Env": [OFFICIAL[0], "PYTHON_VERSION=3.10.4"]}, "has Python 3.10"),
    ],
)
def test_bases_without_the_right_python(
    maker: Maker, layers: list[list[Entry]], config: dict[str, Any], what: str
) -> None:
    made = maker.image(*layers, config=config)
    with pytest.raises(BaseUnsuitable, match=what) as caught:
        maker.resolve()
    assert caught.value.where.endswith(made["digest"])
    assert "choose" in caught.value.hint
    assert not (maker.cache.root / "documents").exists()


def test_another_architecture(maker: Maker) -> None:
    maker.image(config={"Env": OFFICIAL}, architecture="arm64")
    with pytest.raises(BaseUnsuitable, match="not made for linux/amd64") as caught:
        maker.resolve()
    assert "made for linux/arm64" in caught.value.hint


def test_layers_that_cannot_be_searched_or_used(maker: Maker) -> None:
    zstd = "application/vnd.oci.image.layer.v1.tar+zstd"
    maker.image(layer_type=zstd)
    with pytest.raises(BaseUnsuitable, match="zstd"):
        maker.resolve()
    maker.image(layer_type=zstd, config={"Env": OFFICIAL})
    assert maker.resolve().layers[0].descriptor.media_type == zstd
    maker.image(layer_type="application/x-foreign", config={"Env": OFFICIAL})
    with pytest.raises(BaseUnsuitable, match="unknown kind"):
        maker.resolve()
    maker.image(layer_type="application/vnd.oci.image.layer.v1.tar")  # not what it says
    with pytest.raises(BaseUnsuitable, match="cannot be read"):
        maker.resolve()


def test_what_is_no_image(maker: Maker) -> None:
    artifact = {"schemaVersion": 2, "mediaType": MANIFEST, "config": maker.put(b"{}", CONFIG), "layers": []}
    maker.client.push_manifest("base", "sbom", json.dumps(artifact).encode(), MANIFEST)
    with pytest.raises(BaseUnsuitable):
        maker.resolve("sbom")


def test_the_default_is_the_official_image_of_the_authors_python() -> None:
    assert base_image.default_base("3.12") == "docker.io/library/python:3.12-slim"
