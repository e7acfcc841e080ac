"""Kits as they are issued: whole, signed, the newest one alone worth something."""

from __future__ import annotations

import base64
import json
import re
import stat
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kit_examples import NOW, REFERENCE, SERVER, federation
from nbfed_site.contracts import Kit, KitInvalid, NbfedError, SettingsInvalid, digest, rebuilt
from notebook_federator.federating import order, remove_site
from notebook_federator.federation.authority import identity
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.image.signing_keys import fingerprint, make_key, public_key
from notebook_federator.kits import IssuedKit, Wishes, issue
from notebook_federator.ledger.signing import is_signed

Federation = FederationFolder


@pytest.fixture
def study(tmp_path: Path) -> Federation:
    """A federation of two sites."""
    return federation(tmp_path / "study", "hospital-a", "hospital-b")


def joined(study: Federation) -> None:
    made_of = {"key": "PEM", "kit": "sha256:0", "token": "t", "certificate": "1", "expires": "2027-01-01"}
    with study.open_ledger() as ledger:
        ledger.append("site_joined", site="hospital-a", **made_of)


def made(study: Federation, site: str = "hospital-a", **wishes: Any) -> IssuedKit:
    return issue(study, site, Wishes(**wishes), NOW)


def files(path: Path) -> dict[str, bytes]:
    return {item.name: item.read_bytes() for item in path.iterdir()}


def test_a_kit_is_whole_and_signed(study: Federation) -> None:
    issued = made(study)
    found = files(issued.path)
    assert issued.path == study.path / "kits/hospital-a"
    assert digest(found["kit.json"]) == issued.digest
    kit = rebuilt(Kit, json.loads(found["kit.json"]))
    assert kit == replace(issued.kit, files=kit.files)
    assert kit.files == {name: digest(data) for name, data in found.items() if not name.startswith("kit.")}
    assert {"site", "compose.yml", "stack.yml", "README.md", "SECURITY.md", "SECURITY.html"} <= found.keys()
    signature = base64.b64decode(found["kit.sig"])
    assert is_signed(found["signing.pub"].decode(), found["kit.json"], signature)
    assert (kit.server, kit.image, kit.issued) == (SERVER, REFERENCE, "2026-11-27T10:00:00Z")


def test_only_its_owner_reads_the_token(study: Federation) -> None:
    folder = made(study).path
    modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in folder.iterdir()}
    assert modes.pop("join-token.pem") == 0o600
    assert modes.pop("site") == 0o755
    assert set(modes.values()) == {0o644}


def test_the_token_is_a_certificate_for_this_site(study: Federation) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    issued = made(study)
    pem = (issued.path / "join-token.pem").read_bytes()
    found = identity(load_pem_x509_certificate(pem).public_bytes(Encoding.DER))
    assert (found.role, found.site, found.token) == ("join", "hospital-a", issued.kit.token)
    assert b"PRIVATE KEY" in pem


def test_the_newest_kit_is_the_ledgers(study: Federation) -> None:
    first, second, other = made(study), made(study), made(study, "hospital-b")
    sites = study.membership().sites
    assert (first.kit.serial, second.kit.serial, other.kit.serial) == (1, 2, 1)
    assert first.kit.token != second.kit.token
    assert (sites["hospital-a"].kit, sites["hospital-a"].token) == (second.digest, second.kit.token)
    assert sites["hospital-b"].kit == other.digest


def test_everything_but_the_token_is_the_same_each_time(tmp_path: Path, study: Federation) -> None:
    first, second = (files(made(study, out=tmp_path / name).path) for name in ("x", "y"))
    kits = [json.loads(found.pop("kit.json")) for found in (first, second)]
    differ = {name for name in first if first[name] != second[name]}
    assert differ == {"join-token.pem", "kit.sig", "stack.yml", "SECURITY.md", "SECURITY.html"}
    hidden = [(str(kit["serial"]), kit["token"]) for kit in kits]
    for name in ("stack.yml", "SECURITY.md", "SECURITY.html"):
        texts = [
            re.sub(rf"\b(kit|number) {serial}\b", "", found[name].decode(), flags=re.I).replace(token, "")
            for found, (serial, token) in zip((first, second), hidden, strict=True)
        ]
        assert texts[0] == texts[1]


def test_a_zip_holds_the_same_with_its_modes(study: Federation, tmp_path: Path) -> None:
    issued = made(study, packed=True, out=tmp_path / "out")
    assert issued.path == tmp_path / "out/hospital-a.zip"
    assert stat.S_IMODE(issued.path.stat().st_mode) == 0o600
    subprocess.run(["python3", "-m", "zipfile", "-t", str(issued.path)], check=True, capture_output=True)
    with zipfile.ZipFile(issued.path) as archive:
        found = {member.filename: member for member in archive.infolist()}
        kit = rebuilt(Kit, json.loads(archive.read("hospital-a/kit.json")))
        for name, value in kit.files.items():
            assert digest(archive.read(f"hospital-a/{name}")) == value
    assert found["hospital-a/join-token.pem"].external_attr >> 16 == stat.S_IFREG | 0o600
    assert found["hospital-a/site"].external_attr >> 16 == stat.S_IFREG | 0o755


@pytest.mark.parametrize(
    ("site", "before", "said"),
    [
        ("hospital-z", lambda study: None, "hospital-z is not a site"),
        (
            "hospital-a",
            lambda study: remove_site(study, "hospital-a", "left", NOW),
            "was removed from this federation: left",
        ),
        ("hospital-a", joined, "has joined already"),
    ],
)
def test_no_kit_for_who_needs_none(
    study: Federation, site: str, before: Callable[[Federation], object], said: str
) -> None:
    before(study)
    with pytest.raises(SettingsInvalid, match=said) as raised:
        made(study, site)
    assert raised.value.hint
    assert not (study.path / "kits" / site).exists()


def test_a_site_that_joined_gets_another_kit_when_asked_for(study: Federation) -> None:
    joined(study)
    assert made(study, again=True).kit.serial == 1


def test_the_key_of_the_images_comes_along(tmp_path: Path) -> None:
    make_key(tmp_path / "key.pem")
    pem = public_key(tmp_path / "key.pem")
    issued = made(federation(tmp_path / "study", "hospital-a", key=pem.decode()))
    assert (issued.path / "images.pub").read_bytes() == pem
    assert fingerprint(pem) in (issued.path / "SECURITY.md").read_text()


def test_an_image_that_is_no_image_is_refused(tmp_path: Path) -> None:
    study = federation(tmp_path / "study", "hospital-a", client="x;rm@sha256:" + "1" * 64)
    with pytest.raises(NbfedError, match="is not the name of an image"):
        made(study)


@pytest.mark.parametrize("name", ["site", "compose.yml", "SECURITY.html", "join-token.pem", "kit.json"])
def test_a_site_finds_an_edited_file(study: Federation, name: str) -> None:
    kit = pytest.importorskip("nbfed_site.kit")
    issued = made(study)
    read: Callable[..., Any] = kit.read_kit
    assert read(issued.path, issued.kit.slice_digest).digest == issued.digest
    path = issued.path / name
    path.write_bytes(path.read_bytes().replace(b"hospital-a", b"hospital-b", 1) + b"\n")
    with pytest.raises(KitInvalid):
        read(issued.path, issued.kit.slice_digest)


def test_other_commands_do_not_wait_while_an_image_is_fetched(study: Federation) -> None:
    def fetch(reference: object, path: Path) -> str:
        path.write_bytes(b"image")
        assert order(study, "pause", NOW).membership.paused
        return "sha256:" + "f" * 64

    assert (made(study, fetch=fetch).path / "images.tar").read_bytes() == b"image"


def test_an_image_that_was_renewed_meanwhile_comes_into_no_kit(study: Federation) -> None:
    def fetch(reference: object, path: Path) -> str:
        path.write_bytes(b"image")
        toml, other = study.settings_file, "sha256:" + "9" * 64
        toml.write_text(
            toml.read_text().replace(f'client = "{REFERENCE}', f'client = "{REFERENCE[:-71]}{other}')
        )
        return "sha256:" + "f" * 64

    with pytest.raises(SettingsInvalid, match="renewed while one was fetched"):
        made(study, fetch=fetch)
    assert not study.kit("hospital-a").exists()
