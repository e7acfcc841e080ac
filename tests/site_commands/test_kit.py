"""The kit at a site: believed as it was issued, and refused with the reason where it was touched."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from nbfed_site.contracts import Kit, KitInvalid, canonical_json, digest, plain, rebuilt
from nbfed_site.keys import generate_key, private_key, sign
from nbfed_site.kit import read_kit

from .coordinator import SLICE, Coordinator


@pytest.fixture
def coordinator(tmp_path: Path) -> Coordinator:
    return Coordinator(tmp_path / "federation")


@pytest.fixture
def folder(coordinator: Coordinator, tmp_path: Path) -> Path:
    return coordinator.kit(tmp_path / "kit")


def test_a_kit_as_it_was_issued(folder: Path, coordinator: Coordinator) -> None:
    found = read_kit(folder, SLICE)
    assert (found.kit.site, found.kit.serial) == ("hospital-a", 1)
    assert found.digest == digest((folder / "kit.json").read_bytes())
    assert found.signer == digest(coordinator.signer.public_key.encode())
    assert found.token.read_bytes().startswith(b"-----BEGIN CERTIFICATE")


@pytest.mark.parametrize("name", ["compose.yml", "join-token.pem", "authority.pem", "kit.json", "kit.sig"])
def test_an_edited_file_is_named(folder: Path, name: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)
    with pytest.raises(KitInvalid, match="kit.json" if "kit." in name else name) as caught:
        read_kit(folder, SLICE)
    assert "edited after the kit was made" in caught.value.what
    assert caught.value.hint == "Ask the coordinator for a new kit."
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", ["compose.yml", "authority.pem", "kit.sig", "signing.pub"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(KitInvalid, match=f"{name} of the kit cannot be read"):
        read_kit(folder, SLICE)


def test_no_kit_at_all(tmp_path: Path) -> None:
    with pytest.raises(KitInvalid, match="There is no kit") as caught:
        read_kit(tmp_path / "none", SLICE)
    assert ":/kit:ro" in caught.value.hint


def test_a_kit_for_another_image(folder: Path) -> None:
    with pytest.raises(KitInvalid, match="this image holds sha256:") as caught:
        read_kit(folder, digest(b"another slice"))
    assert "registry.example.org/study@sha256:" in caught.value.hint


def test_a_kit_signed_by_somebody_else(folder: Path, tmp_path: Path) -> None:
    generate_key(tmp_path / "stranger.pem")
    signature = sign(private_key(tmp_path / "stranger.pem"), (folder / "kit.json").read_bytes())
    (folder / "kit.sig").write_text(signature)
    with pytest.raises(KitInvalid, match="signature does not fit"):
        read_kit(folder, SLICE)


Change = Callable[[Kit], Kit]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda kit: replace(kit, authority=digest(b"other")), "authority.pem is not the certificate"),
        (lambda kit: replace(kit, schema_version=99), "'schema_version'"),
    ],
)
def test_a_signed_kit_that_makes_no_sense(
    coordinator: Coordinator, tmp_path: Path, change: Change, said: str
) -> None:
    with pytest.raises(KitInvalid, match=said):
        read_kit(coordinator.kit(tmp_path / "odd", change), SLICE)


def test_the_images_of_an_offline_kit_may_be_deleted_once_loaded(
    coordinator: Coordinator, tmp_path: Path
) -> None:
    folder = coordinator.kit(
        tmp_path / "offline", lambda kit: replace(kit, files={**kit.files, "images.tar": "sha256:0"})
    )
    assert read_kit(folder, SLICE).kit.files["images.tar"] == "sha256:0"


def test_a_kit_is_one_sequence_of_bytes(folder: Path) -> None:
    data = (folder / "kit.json").read_bytes()
    assert canonical_json(plain(rebuilt(Kit, json.loads(data)))) == data
