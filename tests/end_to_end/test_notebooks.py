"""Notebooks as people write them, federated over real processes without one edit."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.end_to_end
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
NOTEBOOKS = FIXTURES / "notebooks"


def run(nbfed, notebook: Path, *words: str) -> dict:
    """Run in the test's folder; the report's JSON."""
    data = nbfed.json("run", str(notebook), *words, "--out", "run")["data"]
    assert data["state"] == "completed"
    report: dict = json.loads((nbfed.folder / data["report"]["json"]).read_text())
    return report


def accuracies(report: dict) -> dict[str, float]:
    """Accuracy on the shared test set, by model: a site's name, or ``federation``."""
    rows = [row for row in report["rows"] if row["test_set"] is None and row["model"] != "federation best"]
    return {row["alone"] or row["model"]: row["scores"]["accuracy"]["value"] for row in rows}


@pytest.fixture
def patch_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.syspath_prepend(FIXTURES)
    make_sites = __import__("make_sites").make_sites
    folders = make_sites(tmp_path / "patches")
    monkeypatch.delitem(sys.modules, "make_sites")
    return [word for folder in folders for word in ("--site", f"{folder.name.replace('_', '-')}={folder}")]


def test_the_paper_s_template_of_2022_runs_unedited(nbfed, patch_sites) -> None:
    report = run(nbfed, NOTEBOOKS / "paper_2022.ipynb", *patch_sites, "--alone", "--epochs", "2")
    found = accuracies(report)
    assert found.keys() == {"federation", "site-1", "site-2", "site-3"}
    record = report["record"]
    assert len(record["rounds"]) == 3
    assert record["settings"]["strategy"]["name"] == "fedavg"
    assert [site["card"]["samples"]["train"] > 0 for site in record["sites"]] == [True] * 3
    counts = [row["confusion"] for row in report["rows"] if row["test_set"] is None]
    assert all(sum(map(sum, matrix)) == 120 for matrix in counts)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("inline_loop_marked", 0.9),
        ("inline_loop_tags", 0.7),
        ("load_data_no_parameter", 0.5),
        ("load_data_three_tuple", 0.5),
        ("helper_module", 0.3),
        ("ugly", 0.3),
    ],
)
def test_a_notebook_with_its_own_data_is_shared_out(nbfed, name: str, least: float) -> None:
    words = ("--sites", "2", "--rounds", "2", "--epochs", "3", "--strategy", "fedavg")
    report = run(nbfed, NOTEBOOKS / f"{name}.ipynb", *words)
    assert accuracies(report)["federation"] >= least
    record = report["record"]
    assert all(
        site["presence"] == "took part" and site["num_examples"] > 0
        for item in record["rounds"]
        for site in item["sites"]
    )
    classes = [site["card"]["classes"]["train"] for site in record["sites"]]
    assert classes[0].keys() == classes[1].keys()


@pytest.mark.parametrize("strategy", ["fedprox:proximal_mu=0.1", "fedadam:eta=0.01", "median"])
def test_other_strategies_train(nbfed, strategy: str) -> None:
    words = ("--sites", "3", "--rounds", "3", "--epochs", "2", "--strategy", strategy)
    report = run(nbfed, NOTEBOOKS / "inline_loop_marked.ipynb", *words)
    assert accuracies(report)["federation"] > 0.7
    assert report["record"]["settings"]["strategy"]["name"] == strategy.partition(":")[0]


def test_unreadable_samples_are_counted_before_round_1(nbfed) -> None:
    run = nbfed.follow(
        "run", str(NOTEBOOKS / "unreadable_samples.ipynb"), "--sites", "1", "--rounds", "1", "--out", "run"
    )
    assert run.end() == 0
    card = run.of("card")[0]["card"]
    assert card["unreadable"]["train"] == 3
    assert card["samples"]["train"] == 57
    assert any("3 of 60 samples cannot be read" in warning for warning in card["warnings"])
    kinds = [event["event"] for event in run.events if event["source"] == "server"]
    assert kinds.index("card") < kinds.index("round_started")


def test_heterogeneous_shares(nbfed) -> None:
    words = ("--sites", "3", "--partition", "dirichlet:0.3", "--rounds", "1", "--min-examples", "1")
    report = run(nbfed, NOTEBOOKS / "inline_loop_marked.ipynb", *words)
    shares = [site["card"]["classes"]["train"] for site in report["record"]["sites"]]
    parts = [share.get("1", 0) / sum(share.values()) for share in shares]
    assert max(parts) - min(parts) > 0.1
    assert sum(sum(share.values()) for share in shares) == 426


def test_a_site_is_told_of_no_other_site(nbfed, slow_notebook, three_sites, workshop) -> None:
    words = ["run", str(slow_notebook), *three_sites, "--rounds", "1", "--set", "pause=2", "--out", "run"]
    following = nbfed.follow(*words)
    following.until("received", site="a", task="train")
    process = Path("/proc") / str(following.pid("a"))
    known = (nbfed.folder / "run/sites/a/settings.json").read_text()
    if process.exists():
        known += (process / "cmdline").read_text() + (process / "environ").read_text()
    assert str(workshop / "a") in known
    assert str(workshop / "b") not in known
    assert str(workshop / "c") not in known
    assert following.end() == 0


def write_vitals(folder: Path, rows: int, seed: int) -> Path:
    """A table of patients for the notebook that slices arrays by hand."""
    draw = np.random.default_rng(seed)
    measured = draw.normal(size=(rows, 4))
    label = (measured @ (1.5, -1, 0.5, 0) + draw.normal(scale=0.3, size=rows) > 0).astype(int)
    folder.mkdir()
    header = "lactate,pressure,pulse,temperature,sepsis"
    table = np.column_stack([measured, label])
    np.savetxt(folder / "vitals.csv", table, "%.4f", ",", header=header, comments="")
    return folder


def test_arrays_sliced_by_hand_weigh_what_they_hold(nbfed, tmp_path: Path) -> None:
    sites = {"large": 240, "small": 80}
    folders = [write_vitals(tmp_path / name, rows, rows) for name, rows in sites.items()]
    words = [word for folder in folders for word in ("--site", f"{folder.name}={folder}")]
    report = run(nbfed, NOTEBOOKS / "inline_slices.ipynb", *words, "--rounds", "3", "--epochs", "4")
    record = report["record"]
    cards = {site["name"]: site["card"] for site in record["sites"]}
    assert {name: card["samples"] for name, card in cards.items()} == {
        "large": {"train": 180, "test": 60},
        "small": {"train": 60, "test": 20},
    }
    assert all(sum(card["classes"]["train"].values()) == card["samples"]["train"] for card in cards.values())
    for number in record["rounds"]:
        assert {site["site"]: site["num_examples"] for site in number["sites"]} == {"large": 180, "small": 60}
    own = {row["test_set"]: row for row in report["rows"] if row["model"] == "federation"}
    assert {site: sum(map(sum, own[site]["confusion"])) for site in sites} == {"large": 60, "small": 20}
    assert min(own[site]["scores"]["accuracy"]["value"] for site in sites) > 0.8
