"""Notebooks in, federations of containers out, run as hospitals would run them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from container_engines import Engine
from container_federation import Federation, Images, unwell

pytestmark = pytest.mark.end_to_end

ROUNDS = ("--rounds", "2", "--epochs", "5")
NAMES = ("north", "south", "west")
Nbfed = Callable[..., Any]


def test_shares_of_a_notebook_s_own_data(
    engine: Engine, breast_cancer: Images, open_folder: Callable[[], Path], nbfed: Nbfed
) -> None:
    shares = dict.fromkeys(NAMES)
    with Federation(engine, breast_cancer, open_folder(), nbfed, ROUNDS, shares) as federation:
        train(federation)
        report = reported(federation, nbfed)
        compare_ledgers(federation, nbfed)
    assert accuracy(report) > 0.85
    assert sum(site["card"]["samples"]["train"] for site in report["record"]["sites"]) == 170


def test_folders_of_real_patches(
    docker: Engine, histology: Images, open_folder: Callable[[], Path], nbfed: Nbfed, shared_data: Path
) -> None:
    folder, source = open_folder(), shared_data / "idc"
    images = ("--images", source / "patches.tar", "--limit", "16")
    nbfed("data", "split", source / "manifest.csv", *images, "--out", folder / "sites")
    data = {name: folder / "sites" / f"site-{place}" for place, name in enumerate(NAMES, 1)}
    with Federation(docker, histology, folder, nbfed, ("--rounds", "2", "--epochs", "1"), data) as federation:
        train(federation)
        report = reported(federation, nbfed)
    assert [site["card"]["samples"]["train"] for site in report["record"]["sites"]] == [32, 32, 32]
    assert all(scores(report)[name] is not None for name in ("sensitivity", "specificity", "f1"))


def train(federation: Federation) -> None:
    """Run the federation to its end with two commands at each site; look at all before, during and after."""
    federation.serve()
    first, *others = federation.sites.values()
    assert unwell(first.on_data("doctor", "--format", "json")) == {}
    for site in (first, *others):
        assert "The site takes part." in site.on_data("up").stderr
    for name in federation.containers:
        assert federation.ended(name) == 0, federation.said(name)
        assert federation.changed_files(name) == []


def compare_ledgers(federation: Federation, nbfed: Nbfed) -> None:
    """The federation's records are as they were written, and each site's own says the same."""
    assert nbfed("ledger", "verify", federation.home)["findings"] == []
    for name, site in federation.sites.items():
        receipts = site.kit / "receipts.jsonl"
        receipts.write_text(site("receipts").stdout)
        assert nbfed("ledger", "compare", federation.home, receipts)["findings"] == [], name


def reported(federation: Federation, nbfed: Nbfed) -> Any:
    """The report of the run, made on this machine from what the server kept."""
    written = nbfed("report", federation.run)["report"]
    report = json.loads(Path(written["json"]).read_text())
    record = report["record"]
    assert record["state"] == "completed"
    assert len(record["rounds"]) == 2
    presence = {site["presence"] for item in record["rounds"] for site in item["sites"]}
    assert presence == {"took part"}
    return report


def scores(report: Any) -> dict[str, float | None]:
    """The federation's scores on the test sets of all."""
    row = next(row for row in report["rows"] if row["test_set"] is None and row["model"] == "federation")
    return {name: score["value"] for name, score in row["scores"].items()}


def accuracy(report: Any) -> float:
    """The federation's accuracy on the test sets of all."""
    found = scores(report)["accuracy"]
    assert found is not None
    return found
