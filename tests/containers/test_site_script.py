"""The kit's script under real engines and shells, with an image that tells how it is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from container_engines import UID, Engine
from kit_sites import Site, made
from notebook_federator.image.registry.client import connections
from notebook_federator.image.registry.reference import parse
from notebook_federator.kits.container import Image
from notebook_federator.kits.offline import from_registry

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def site(engine: Engine, probe: str, open_folder: Callable[[], Path]) -> Iterator[Site]:
    """A site under each engine."""
    found = made(engine, open_folder(), Image(probe))
    yield found
    engine("rm", "--force", found.name, check=False)
    engine("volume", "rm", "--force", found.name, check=False)


def test_the_container_is_closed(site: Site) -> None:
    words = ("doctor", str(site.data), "--format", "json")
    found = site(*words, HTTPS_PROXY="http://proxy.example:3128")
    seen = json.loads(found.stdout)
    assert (seen["uid"], seen["gid"]) == (UID, UID)
    assert seen["writable"] == ["/scratch"]
    assert seen["data"] == ["scan.png"]
    assert {"kit.json", "SECURITY.html", "site"} <= set(seen["kit"])
    assert seen["token"] == len("secret")
    assert seen["capabilities"] == 0
    assert seen["no_new_privileges"] is True
    assert seen["shm"] == 2 << 30
    assert (seen["proxy"], seen["none"]) == ("http://proxy.example:3128", None)
    assert seen["words"] == ["--format", "json"]


def test_a_site_from_beginning_to_end(site: Site, probe: str) -> None:
    site("doctor", str(site.data))
    assert "takes part" in site("up").stderr
    assert "takes part already" in site("up", shell="bash").stderr
    assert site("logs").stdout == "taking part\n"
    assert site.inspected()["HostConfig"]["RestartPolicy"]["Name"] == "on-failure"
    assert site("approve").stdout == "approved\n"
    assert site("receipts").stdout == "{}"
    site("stop")
    assert site.inspected()["State"]["Status"] in {"exited", "stopped"}
    assert "takes part" in site("up", str(site.data)).stderr
    assert site("erase", code=1).stderr.endswith("next:  sh site erase --yes\n")
    site("erase", "--yes")
    left = site.engine("volume", "ls", "--quiet").stdout + site.engine("ps", "--all").stdout
    assert site.name not in left
    assert not (site.kit / ".env").exists()
    assert site.engine("image", "inspect", probe, check=False).returncode != 0


def test_what_does_not_start_is_told_and_not_tried_for_ever(site: Site) -> None:
    found = site("up", str(site.data), "--fail", code=1)
    assert "E: no such study" in found.stderr
    assert found.stderr.endswith("next:  sh site doctor\n")
    assert site.engine("container", "inspect", site.name, check=False).returncode != 0


def test_a_study_that_is_over_is_not_started_again(site: Site) -> None:
    assert "The study is over" in site("up", str(site.data), "--over").stderr
    assert site.inspected()["State"]["Status"] in {"exited", "stopped"}


def test_the_image_comes_with_the_kit(engine: Engine, probe: str, open_folder: Callable[[], Path]) -> None:
    folder, reference = open_folder(), parse(probe)
    images = folder / "images.tar"
    configuration = from_registry(connections(None), lambda _: None)(reference, images)
    elsewhere = f"registry.invalid/study@{reference.digest}"
    site = made(engine, folder, Image(elsewhere, configuration=configuration), images)
    engine("image", "rm", "--force", probe, check=False)
    try:
        assert json.loads(site("doctor", str(site.data)).stdout)["writable"] == ["/scratch"]
    finally:
        site("erase", "--yes")
