"""Once the images are pulled, their registry may be gone for good: nothing asks for it again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from container_engines import Engine
from container_federation import SERVER, Federation, Images, wait_until_healthy

pytestmark = pytest.mark.end_to_end

ROUNDS = 4
NAMES = ("north", "south")
WISHES = ("--rounds", str(ROUNDS), "--epochs", "20", "--deadline", "120")


def test_a_run_without_its_registry_survives_a_site_and_its_server(
    docker: Engine,
    breast_cancer: Images,
    debian_base: str,
    start_registry: Callable[..., Any],
    nbfed: Callable[..., Any],
    open_folder: Callable[[], Path],
) -> None:
    registry = start_registry()
    words = ("--push", f"{registry.address}/own", "--base", debian_base)
    built = nbfed("build", breast_cancer.notebook, *words)["images"]
    images = replace(breast_cancer, server=built["server"]["name"], client=built["client"]["name"])
    with Federation(docker, images, open_folder(), nbfed, WISHES, dict.fromkeys(NAMES)) as federation:
        federation.serve()
        said = [site.on_data("up").stderr for site in federation.sites.values()]
        assert "Pulling" in said[0]
        registry.process.kill()
        registry.process.wait()
        until_finished(federation, 1)
        kill_a_site(federation)
        kill_the_server(federation)
        for name in federation.containers:
            assert federation.ended(name) == 0, federation.said(name)
        report = json.loads(Path(nbfed("report", federation.run)["report"]["json"]).read_text())
    record = report["record"]
    assert (record["state"], len(record["rounds"])) == ("completed", ROUNDS)
    assert {site["presence"] for item in record["rounds"] for site in item["sites"]} == {"took part"}


def kill_a_site(federation: Federation) -> None:
    """With -9; its operator starts it again."""
    site = federation.sites["north"]
    federation.engine("kill", "--signal", "KILL", site.name)
    said = site.on_data("up").stderr
    assert "The site takes part." in said
    assert "Pulling" not in said


def kill_the_server(federation: Federation) -> None:
    """With -9; it is started again where it was."""
    assert rounds_finished(federation) < ROUNDS
    federation.engine("kill", "--signal", "KILL", federation.server)
    federation.engine("start", federation.server)
    wait_until_healthy(federation.engine, federation.server, SERVER)


def until_finished(federation: Federation, rounds: int, seconds: float = 120) -> None:
    """Wait until so many rounds are done."""
    until = time.monotonic() + seconds
    while rounds_finished(federation) < rounds:
        assert time.monotonic() < until, federation.said("server")
        time.sleep(0.05)


def rounds_finished(federation: Federation) -> int:
    """As the server tells."""
    events = federation.run / "events.jsonl"
    return events.read_text().count('"round_finished"') if events.exists() else 0
