import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from nbfed_site.contracts import SettingsInvalid
from notebook_federator.image.registry.credentials import Credentials, find

AUTH = base64.b64encode(b"ada:pass:word").decode()


def docker(home: Path, settings: dict[str, Any]) -> Path:
    folder = home / ".docker"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("localhost:5000", "localhost:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("quay.io/team", "quay.io"),
    ],
)
def test_keys_with_and_without_scheme_and_path(home: Path, key: str, registry: str) -> None:
    docker(home, {"auths": {"other.example.org": {"auth": "eDp5"}, key: {"auth": AUTH}}})
    found = find(registry)
    assert found is not None
    assert (found.username, found.password) == ("ada", "pass:word")
    assert find("another.example.org") is None


def test_the_nearest_key_wins(home: Path) -> None:
    other = base64.b64encode(b"bob:x").decode()
    docker(home, {"auths": {"https://ghcr.io/v1/": {"auth": other}, "ghcr.io": {"auth": AUTH}}})
    found = find("ghcr.io")
    assert found is not None
    assert found.username == "ada"


def test_identity_tokens_and_plain_fields(home: Path) -> None:
    docker(home, {"auths": {"a.org": {"identitytoken": "t"}, "b.org": {"username": "u", "password": "p"}}})
    assert find("a.org") == Credentials(str(home / ".docker/config.json"), identity_token="t")
    assert find("b.org") == Credentials(str(home / ".docker/config.json"), "u", "p")


def test_no_secret_is_shown() -> None:
    shown = repr(Credentials("file", "ada", "hush1", "hush2", "hush3"))
    assert "ada" in shown
    assert "hush" not in shown


def test_docker_config_names_another_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = docker(home, {"auths": {"ghcr.io": {"auth": AUTH}}})
    moved = folder.rename(home / "elsewhere")
    assert find("ghcr.io") is None
    monkeypatch.setenv("DOCKER_CONFIG", str(moved))
    assert find("ghcr.io") is not None


@pytest.mark.parametrize("place", ["REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "home"])
def test_podmans_file_comes_after_dockers(home: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    folder = home / (".config/containers" if place == "home" else "run/containers")
    folder.mkdir(parents=True)
    (folder / "auth.json").write_text(json.dumps({"auths": {"quay.io": {"auth": AUTH}}}))
    if place == "REGISTRY_AUTH_FILE":
        monkeypatch.setenv(place, str(folder / "auth.json"))
    elif place == "XDG_RUNTIME_DIR":
        monkeypatch.setenv(place, str(folder.parent))
    docker(home, {"auths": {"ghcr.io": {"auth": AUTH}}})
    found = find("quay.io")
    assert found is not None
    assert found.source.endswith("auth.json")
    other = base64.b64encode(b"docker:x").decode()
    docker(home, {"auths": {"quay.io": {"auth": other}}})
    found = find("quay.io")
    assert found is not None
    assert found.username == "docker"


HELPER = """#!/bin/sh
read server
echo "$1 $server" >> {log}
case "$server" in
  ghcr.io) echo '{{"ServerURL": "ghcr.io", "Username": "ada", "Secret": "from-helper"}}' ;;
  https://index.docker.io/v1/) echo '{{"Username": "<token>", "Secret": "identity"}}' ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, log = tmp_path / "bin", tmp_path / "helper.log"
    folder.mkdir()
    program = folder / "docker-credential-test"
    program.write_text(HELPER.format(log=log))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


@pytest.mark.skipif(os.name == "nt", reason="the helper is a shell script")
def test_helpers_of_one_registry_and_of_all(home: Path, helper: Path) -> None:
    docker(home, {"credHelpers": {"ghcr.io": "test"}, "auths": {"ghcr.io": {}}})
    assert find("ghcr.io") == Credentials("docker-credential-test", "ada", "from-helper")
    assert find("docker.io") is None
    docker(home, {"credsStore": "test", "auths": {"quay.io": {"auth": AUTH}}})
    assert find("docker.io") == Credentials("docker-credential-test", identity_token="identity")
    found = find("quay.io")  # unknown to the helper
    assert found is not None
    assert found.username == "ada"
    asked = ["get ghcr.io", "get https://index.docker.io/v1/", "get quay.io"]
    assert helper.read_text().splitlines() == asked


@pytest.mark.skipif(os.name == "nt", reason="the helper is a shell script")
def test_a_helper_that_is_not_there_is_passed_over(home: Path) -> None:
    docker(home, {"credsStore": "nowhere", "auths": {"quay.io": {"auth": AUTH}}})
    assert find("quay.io") is not None
    assert find("ghcr.io") is None


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_that_is_no_json_object_is_named(home: Path, text: str) -> None:
    folder = docker(home, {})
    (folder / "config.json").write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        find("ghcr.io")
    assert caught.value.where == str(folder / "config.json")


@pytest.mark.parametrize("entry", [{}, {"auth": ""}, {"auth": "%%%"}, {"auth": "eA=="}, {"username": "u"}])
def test_entries_without_a_password_are_none(home: Path, entry: dict[str, str]) -> None:
    docker(home, {"auths": {"ghcr.io": entry}})
    assert find("ghcr.io") is None
