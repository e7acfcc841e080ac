"""The compose files of a site and of the server, read by Compose itself where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kit_examples import REFERENCE, Config, container, services
from notebook_federator.federation.federation_settings import FederationSettings, Images
from notebook_federator.image.assembling import PYTHON
from notebook_federator.kits.compose import compose_files
from notebook_federator.kits.server import server_compose


def site(config: Config, folder: Path, **image: Any) -> dict[str, Any]:
    """The service of a site as Compose reads it."""
    found = config(compose_files(container(**image)), NBFED_DATA=str(folder), NBFED_USER="1001:100")
    read: dict[str, Any] = services(found)["site"]
    return read


def test_the_site_is_closed(config: Config, tmp_path: Path) -> None:
    found = site(config, tmp_path)
    assert found["image"] == REFERENCE
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["user"] == "1001:100"
    assert found["pids_limit"] > 0
    assert not found.keys() & {"ports", "expose", "privileged", "cap_add", "devices", "deploy", "tmpfs"}
    assert found["command"] == ["up"]
    assert found["restart"] == "on-failure"
    assert found["healthcheck"]["test"] == ["CMD", PYTHON, "-I", "-m", "nbfed_site", "healthy"]


def test_kit_and_data_can_be_read_and_scratch_written(config: Config, tmp_path: Path) -> None:
    kit, data, scratch = (mount(item) for item in site(config, tmp_path)["volumes"])
    assert kit == ("bind", str(tmp_path), "/kit", True)
    assert data == ("bind", str(tmp_path), "/data", True)
    assert scratch == ("volume", "scratch", "/scratch", False)


def mount(item: Any) -> tuple[str, str, str, bool]:
    """One mount, whichever way this Compose writes it."""
    if isinstance(item, str):
        source, target, mode = item.split(":")
        return "volume", source, target, mode != "rw"
    return item["type"], item["source"], item["target"], item.get("read_only", False)


def test_a_notebook_that_reads_no_folder_needs_none(config: Config) -> None:
    found = config(compose_files(container(reads_data=False)), NBFED_USER="1001:100")
    targets = [mount(item)[2] for item in services(found)["site"]["volumes"]]
    assert targets == ["/kit", "/scratch"]


@pytest.mark.parametrize("name", ["NBFED_DATA", "NBFED_USER"])
def test_the_operator_is_told_what_is_not_set(config: Config, tmp_path: Path, name: str) -> None:
    given = {"NBFED_DATA": str(tmp_path), "NBFED_USER": "1001:100"}
    del given[name]
    found = config(compose_files(container()), **given)
    assert found.returncode != 0
    assert f"set {name} to the " in found.stderr


def test_what_doctor_remembered_is_enough(config: Config, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NBFED_DATA='/srv/with $HOME space'\nNBFED_USER='7:8'\n")
    found = services(config(compose_files(container())))["site"]
    assert found["user"] == "7:8"
    assert mount(found["volumes"][1])[1].replace("$$", "$") == "/srv/with $HOME space"


def test_the_operators_proxy_is_passed_on(config: Config, tmp_path: Path) -> None:
    given = {"NBFED_DATA": str(tmp_path), "NBFED_USER": "1:1", "HTTPS_PROXY": "http://proxy.example:3128"}
    found = services(config(compose_files(container()), **given))["site"]["environment"]
    assert found["HTTPS_PROXY"] in {None, "http://proxy.example:3128"}


def test_devices_are_reserved_in_a_file_of_their_own(config: Config, tmp_path: Path) -> None:
    assert set(compose_files(container())) == {"compose.yml"}
    assert b"nvidia" not in compose_files(container(gpu=True))["compose.yml"]
    found = site(config, tmp_path, gpu=True)
    (device,) = found["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


SETTINGS = FederationSettings(
    "lung-study",
    "https://fed.example.org:9443",
    Images(REFERENCE, REFERENCE, REFERENCE[-71:], REFERENCE[-71:]),
)


def test_the_server_runs_in_its_folder_as_the_folders_owner(config: Config, tmp_path: Path) -> None:
    found = services(config(server_compose(SETTINGS, 1001, 100)))["server"]
    assert (found["image"], found["command"], found["user"]) == (REFERENCE, ["serve"], "1001:100")
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert [mount(item) for item in found["volumes"]] == [("bind", str(tmp_path), "/scratch", False)]
    (port,) = found["ports"]
    assert str(port) in {"9443:9092", str({"published": 9443, "target": 9092})}
    assert found["healthcheck"]["test"][-1] == "healthy"


def test_the_server_is_told_how_long_to_stay(config: Config) -> None:
    for variables, seconds in (({}, "600"), ({"NBFED_GRACE": "30"}, "30")):
        found = services(config(server_compose(SETTINGS, 1001, 100), **variables))["server"]
        assert found["environment"] == {"NBFED_GRACE": seconds}


def test_the_servers_file_has_the_same_bytes_each_time() -> None:
    first, second = (server_compose(SETTINGS, 1, 2)["compose.yml"] for _ in range(2))
    assert first == second
    assert yaml.safe_load(first)["services"].keys() == {"server"}
