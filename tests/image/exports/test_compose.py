"""The compose files, read by Compose itself where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from nbfed_site.contracts import BadInput
from notebook_federator.image.exports.compose import Site, files

IMAGE = "registry.example/demo:client-v1@sha256:" + "7" * 64
OPERATORS = {
    "NBFED_SERVER": "https://server.example:9092",
    "NBFED_SITE": "clinic-a",
    "NBFED_CA": "/etc/nbfed/authority.pem",
}
ODD = 'a $HOME ${X} "b" é: #'


def compose_program() -> list[str]:
    """The plugin where there is one, else docker-compose; skips where there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        asked = [*command, "version"]
        if (
            shutil.which(command[0])
            and subprocess.run(asked, capture_output=True, check=False).returncode == 0
        ):
            return command
    pytest.skip("no Compose here (Debian: apt-get install docker-compose)")


def config(folder: Path, site: Site, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What Compose makes of the files."""
    program = compose_program()
    named = []
    for name, data in files(site).items():
        (folder / name).write_bytes(data)
        named += ["--file", str(folder / name)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NBFED_")}
    return subprocess.run(
        [*program, *named, "config"],
        env=plain | dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )


def service(folder: Path, site: Site, **environment: str) -> dict[str, Any]:
    found = config(folder, site, {**OPERATORS, "NBFED_DATA": str(folder), **environment})
    assert found.returncode == 0, found.stderr
    read: dict[str, Any] = yaml.safe_load(found.stdout)["services"]["site"]
    return read


def test_the_site_is_closed(tmp_path: Path) -> None:
    found = service(tmp_path, Site(IMAGE))
    assert found["image"] == IMAGE
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["user"] == "65532:65532"
    assert found["pids_limit"] > 0
    assert not found.keys() & {"ports", "expose", "privileged", "cap_add", "devices", "deploy", "tmpfs"}
    assert found["command"] == ["up"]
    assert found["healthcheck"]["test"][-1] == "healthy"
    assert found["restart"] == "unless-stopped"


def test_data_can_be_read_and_scratch_written(tmp_path: Path) -> None:
    data, authority, scratch = service(tmp_path, Site(IMAGE))["volumes"]
    assert (data["source"], data["target"], data["read_only"]) == (str(tmp_path), "/data", True)
    assert (scratch["type"], scratch["target"]) == ("volume", "/scratch")
    assert not scratch.get("read_only")
    assert (authority["source"], authority["read_only"]) == (OPERATORS["NBFED_CA"], True)
    assert authority["target"] == service(tmp_path, Site(IMAGE))["environment"]["NBFED_CA"]


@pytest.mark.parametrize("name", sorted({"NBFED_DATA", *OPERATORS}))
def test_the_operator_is_told_what_is_not_set(tmp_path: Path, name: str) -> None:
    given = {**OPERATORS, "NBFED_DATA": str(tmp_path)}
    del given[name]
    found = config(tmp_path, Site(IMAGE), given)
    assert found.returncode != 0
    assert f"set {name} to the " in found.stderr


def test_the_operator_may_change_user_and_shared_memory(tmp_path: Path) -> None:
    found = service(tmp_path, Site(IMAGE), NBFED_USER="1001:100", NBFED_SHM="512m")
    assert found["user"] == "1001:100"
    assert str(found["shm_size"]) in {"512m", str(512 << 20)}


def test_variables_reach_the_container_as_they_are(tmp_path: Path) -> None:
    given = {"NBFED_SERVER": "https://fixed.example:9092", "ODD": ODD, "TAKEN": None}
    found = service(tmp_path, Site(IMAGE, environment=given), TAKEN="from outside")["environment"]
    assert (found["NBFED_SERVER"], found["NBFED_SITE"]) == ("https://fixed.example:9092", "clinic-a")
    assert found["ODD"].replace("$$", "$") == ODD  # Compose writes what it does not interpolate with $$
    assert found["TAKEN"] in {None, "from outside"}


def test_devices_are_reserved_in_a_file_of_their_own(tmp_path: Path) -> None:
    assert set(files(Site(IMAGE))) == {"compose.yml"}
    assert b"nvidia" not in files(Site(IMAGE, gpus="all"))["compose.yml"]
    (device,) = service(tmp_path, Site(IMAGE, gpus=2))["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 2, ["gpu"])


@pytest.mark.parametrize("name", ["registry.example/demo:client-v1", "demo@sha256:12", ""])
def test_an_image_without_digest_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="digest"):
        files(Site(name))


def test_the_health_check_is_the_images_own() -> None:
    from notebook_federator.image.assembling import PYTHON

    found = yaml.safe_load(files(Site(IMAGE))["compose.yml"])["services"]["site"]["healthcheck"]["test"]
    assert found == ["CMD", PYTHON, "-I", "-m", "nbfed_site", "healthy"]
