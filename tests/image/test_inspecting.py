"""What a scanner and a security officer see of an image."""

import json
from pathlib import Path
from typing import Any

import pytest
from nbfed_site.contracts import BadInput
from notebook_federator.image import sbom, signing
from notebook_federator.image.errors import BlobDamaged, ReferenceInvalid, RepositoryUnknown
from notebook_federator.image.inspecting import Inspected, Signed, data, inspect
from notebook_federator.image.inspection_text import text
from notebook_federator.image.layout import write_folder, write_tar
from notebook_federator.image.registry.client import Registry
from notebook_federator.image.shapes import (
    CONFIG,
    INDEX,
    MANIFEST,
    Attachment,
    BuiltImage,
    BytesContent,
    Descriptor,
    digest_of,
)
from notebook_federator.image.signing_keys import make_key, public_key
from small_images import BASE, LABELS, attached, image, layer, names, silent, two_images


def push(client: Registry, one: BuiltImage, tag: str) -> None:
    for part in one.layers:
        client.push_blob("demo", part.descriptor, part.content)
    client.push_blob(
        "demo", Descriptor(CONFIG, digest_of(one.config), len(one.config)), BytesContent(one.config)
    )
    client.push_manifest("demo", tag, one.manifest, MANIFEST)


def lying(place: str, images: tuple[BuiltImage, ...], key: Path, tmp_path: Path, address: str) -> str:
    """Put the images and what is attached somewhere; the target that shows the client."""
    extra = attached(images, key)
    if place == "folder":
        write_folder(images[1:], names(), tmp_path / "it", silent, extra[1::2])
        return str(tmp_path / "it")
    if place == "tar":
        write_tar(images[1:], names(), tmp_path / "it.tar", silent, extra[1::2])
        return str(tmp_path / "it.tar")
    client = Registry(address)
    push(client, images[1], "client-v1")
    for one in extra[1::2]:
        client.push_attachment("demo", one)
    return f"{address}/demo:client-v1"


@pytest.mark.parametrize("place", ["folder", "tar", "registry"])
def test_all_is_shown_wherever_the_image_is(place: str, key: Path, tmp_path: Path, registry: Any) -> None:
    images = two_images()
    target = lying(place, images, key, tmp_path, registry.address)
    (found,) = inspect(target, Registry, [public_key(key)])
    assert (found.role, found.digest, found.platform) == ("client", images[1].digest, "linux/amd64")
    assert found.base == BASE
    assert [one.title for one in found.layers] == [one.title for one in images[1].layers]
    assert [one.unpacked for one in found.layers] == [one.unpacked for one in images[1].layers]
    assert found.unpacked == sum(one.unpacked for one in images[1].layers)
    assert found.packages == (sbom.Package("numpy", "2.1.0", "pkg:pypi/numpy@2.1.0"),)
    assert found.signatures == (Signed(signing.fingerprint(public_key(key)), "valid"),)
    assert found.labels.items() >= LABELS.items()


def test_the_size_is_that_of_all_blobs(tmp_path: Path) -> None:
    write_folder(two_images()[:1], names(), tmp_path / "it", silent)
    (found,) = inspect(str(tmp_path / "it"), Registry)
    assert found.size == sum(path.stat().st_size for path in (tmp_path / "it/blobs/sha256").iterdir())


def test_a_layout_shows_its_images_and_not_what_is_attached(key: Path, tmp_path: Path) -> None:
    images = two_images()
    write_tar(images, names(), tmp_path / "it.tar", silent, attached(images, key))
    assert [one.name for one in inspect(str(tmp_path / "it.tar"), Registry)] == list(names().values())


def shown(one: BuiltImage, tmp_path: Path, extra: list[Attachment] | None = None, *keys: bytes) -> Inspected:
    write_folder((one,), names(), tmp_path / "it", silent, extra or [])
    return inspect(str(tmp_path / "it"), Registry, keys)[0]


def test_how_it_runs_is_shown(tmp_path: Path) -> None:
    one = image(
        "server",
        layer("base", {}),
        User="65532:65532",
        Cmd=["--help"],
        ExposedPorts={"9092/tcp": {}},
        Volumes={"/v": {}},
    )
    found = shown(one, tmp_path)
    assert (found.user, found.command, found.ports, found.volumes) == (
        "65532:65532",
        ("--help",),
        ("9092/tcp",),
        ("/v",),
    )
    assert found.entrypoint == ("/app/venv/bin/python3",)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    lines = [
        "DB_PASSWORD=hunter2",
        "GITHUB_TOKEN=ghp_x",
        "HTTPS_PROXY=http://me:hunter2@proxy:3128",
        "LANG=C.UTF-8",
    ]
    found = shown(image("server", layer("base", {}), Env=lines), tmp_path)
    assert "hunter2" not in text(found) + json.dumps(data(found))
    assert found.environment["LANG"] == "C.UTF-8"
    assert found.environment["HTTPS_PROXY"] == "http://(hidden)@proxy:3128"


def test_a_signature_is_not_called_valid_without_its_key(key: Path, tmp_path: Path) -> None:
    one = two_images()[0]
    make_key(tmp_path / "other.pem")
    extra = [signing.attachment(one.digest, [signing.sign("x/y", one.digest, signing.private_key(key))])]
    found = shown(one, tmp_path, extra, public_key(tmp_path / "other.pem"))
    assert found.signatures == (Signed(signing.fingerprint(public_key(key)), "unchecked"),)


@pytest.mark.parametrize("bad", ["other image", "other bytes"])
def test_a_bad_signature_is_called_invalid(bad: str, key: Path, tmp_path: Path) -> None:
    one, two = two_images()
    signed = signing.sign("x/y", two.digest if bad == "other image" else one.digest, signing.private_key(key))
    if bad == "other bytes":
        signed = signing.Signature(
            signed.payload, signing.sign("x/y", two.digest, signing.private_key(key)).signature
        )
    found = shown(one, tmp_path, [signing.attachment(one.digest, [signed])], public_key(key))
    assert [one.state for one in found.signatures] == ["invalid"]


def test_an_image_of_another_kind_is_shown_too(tmp_path: Path) -> None:
    one = image("server", layer("base", {}))
    plain = json.loads(one.manifest)
    for described in plain["layers"]:
        del described["annotations"]
    config = json.dumps({"os": "linux", "architecture": "arm64", "rootfs": {}}).encode()
    plain["config"] = Descriptor(CONFIG, digest_of(config), len(config)).to_json()
    found = shown(
        BuiltImage("server", one.platform, config, json.dumps(plain).encode(), one.layers), tmp_path
    )
    assert (found.role, found.base, found.unpacked) == ("", "", 0)
    assert (found.packages, found.signatures) == (None, ())
    assert "0 (root)" in text(found)
    assert "at least 0.0 kB on disk" in text(found)


def test_the_text_says_all_of_it(key: Path, tmp_path: Path) -> None:
    images = two_images()
    write_folder(images[1:], names(), tmp_path / "it", silent, attached(images, key)[1::2])
    lines = text(inspect(str(tmp_path / "it"), Registry, [public_key(key)])[0]).splitlines()
    assert lines[0] == "client-training image localhost:5000/demo:client-v1"
    assert f"  digest       {images[1].digest}" in lines
    assert f"  base         {BASE}" in lines
    assert "  ports        none" in lines
    assert "  numpy 2.1.0" in lines
    assert any("valid, by the key sha256:" in line for line in lines)
    assert any("torch 2.13.0+cpu" in line and "20.5 kB unpacked" in line for line in lines)


def test_an_image_cannot_draw_on_the_terminal(tmp_path: Path) -> None:
    one = image(
        "server", layer("base\x1b[2J", {}), labels={"evil": "\x1b]0;x\x07\nnumpy 1.0"}, User="\x1b[31m"
    )
    assert text(shown(one, tmp_path)).isascii()
    assert "\x1b" not in text(shown(one, tmp_path))
    assert "\nnumpy" not in text(shown(one, tmp_path))


def test_the_json_is_json(tmp_path: Path) -> None:
    found = shown(two_images()[1], tmp_path)
    again = json.loads(json.dumps(data(found)))
    assert again["layers"][1]["title"] == "torch 2.13.0+cpu"
    assert again["packages"] is None


def test_a_reference_that_the_registry_does_not_have(registry: Any) -> None:
    with pytest.raises(RepositoryUnknown, match="no such image"):
        inspect(f"{registry.address}/demo:nothing", Registry)


def test_an_index_of_several_platforms(registry: Any) -> None:
    client, images = Registry(registry.address), two_images()
    for one in images:
        push(client, one, one.role)
    listed = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [one.descriptor.to_json() for one in images],
    }
    client.push_manifest("demo", "all", json.dumps(listed).encode(), INDEX)
    with pytest.raises(BadInput, match=images[0].digest):
        inspect(f"{registry.address}/demo:all", Registry)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "no such file"), (b"", "no OCI image layout"), (b"x" * 2000, "no OCI image layout")],
)
def test_a_file_that_is_no_layout(tmp_path: Path, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "it.tar").write_bytes(content)
    with pytest.raises(BadInput, match=expected):
        inspect(str(tmp_path / "it.tar"), Registry)


def test_a_folder_that_is_no_layout(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no OCI image layout"):
        inspect(str(tmp_path), Registry)


@pytest.mark.parametrize(
    "index", ["", "[]", '{"manifests": 1}', '{"manifests": [{"digest": "sha256:../../etc/passwd"}]}']
)
def test_an_index_that_cannot_be_read(tmp_path: Path, index: str) -> None:
    write_folder(two_images(), names(), tmp_path / "it", silent)
    (tmp_path / "it/index.json").write_text(index)
    with pytest.raises((BadInput, BlobDamaged)):
        inspect(str(tmp_path / "it"), Registry)


def test_a_manifest_of_another_shape(tmp_path: Path) -> None:
    one = two_images()[0]
    odd = BuiltImage(one.role, one.platform, one.config, b'{"config": 1, "layers": [{}]}', one.layers)
    with pytest.raises(BadInput, match="not written as an image"):
        shown(odd, tmp_path)


def test_a_damaged_configuration_is_found(tmp_path: Path) -> None:
    one = two_images()[0]
    write_folder((one,), names(), tmp_path / "it", silent)
    path = tmp_path / "it/blobs/sha256" / digest_of(one.config)[7:]
    path.write_bytes(path.read_bytes().replace(b"linux", b"linuy"))
    with pytest.raises(BlobDamaged):
        inspect(str(tmp_path / "it"), Registry)


def test_what_is_no_reference(tmp_path: Path) -> None:
    with pytest.raises(ReferenceInvalid):
        inspect("Not A Name", Registry)
