"""The command's answers: envelopes, exit codes, and what it does not import."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbfed_site.contracts import Manifest, Names, SettingsInvalid
from notebook_federator.federation import Options, resolve

from ..federation.coordinator import nbfed

HEAVY = ("torch", "flwr", "numpy", "rich", "matplotlib", "nbformat", "safetensors", "pandas", "sklearn")


def envelope(found: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(found.stdout)
    assert value["schema_version"] == 1
    assert value["exit_code"] == found.returncode
    return value


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, notebook_federator.cli as cli\n"
        "try: cli.nbfed(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "federate a notebook" in found.stdout.lower()
    assert found.stderr.strip() == "[]"


@pytest.mark.parametrize("example", [None, "breast-cancer", "histology"])
def test_new_writes_a_notebook_that_is_not_overwritten(tmp_path: Path, example: str | None) -> None:
    words = ["new", "study.ipynb", *(["--example", example] if example else [])]
    assert nbfed(*words, cwd=tmp_path).returncode == 0
    nbformat.validate(nbformat.read(tmp_path / "study.ipynb", as_version=4))
    before = (tmp_path / "study.ipynb").read_bytes()
    again = nbfed(*words, "--format", "json", cwd=tmp_path)
    assert again.returncode == 4
    assert envelope(again)["hint"]
    assert (tmp_path / "study.ipynb").read_bytes() == before


def test_check_of_an_example_finds_its_blocks(tmp_path: Path) -> None:
    nbfed("new", "study.ipynb", "--example", "breast-cancer", cwd=tmp_path)
    data = envelope(nbfed("check", "study.ipynb", "--format", "json", cwd=tmp_path))["data"]
    assert data["blocks"].keys() == {"data", "model", "train", "test", "aggregate"}
    assert all(block["rule"] == "bare name" for block in data["blocks"].values())
    assert any(item.startswith("torch==") for item in data["requirements"])
    assert data["slice"]["digest"].startswith("sha256:")
    assert data["data_contract"]["labels"] == ["0", "1"]
    assert data["data_contract"]["minimum"] == {"train": 10, "test": 10}
    assert any("load_breast_cancer" in note for note in data["data_contract_notes"])
    text = nbfed("check", "study.ipynb", "--names", cwd=tmp_path)
    assert text.returncode == 0
    assert "carried  load_data" in text.stdout
    assert "  labels   0, 1\n  at least 10 train samples, 10 test samples, 1 of each class\n" in text.stdout


def test_check_shows_the_data_contract_that_it_drafts(tmp_path: Path) -> None:
    nbfed("new", "study.ipynb", "--example", "histology", cwd=tmp_path)
    text = nbfed("check", "study.ipynb", cwd=tmp_path).stdout
    assert "  files    train_client.csv, patches/*, val_client.csv, test.csv\n" in text
    assert (
        "  columns  train_client.csv: images, GT; val_client.csv: images, GT; test.csv: images, GT\n" in text
    )


def test_check_of_an_unfilled_template_says_what_to_fill(tmp_path: Path) -> None:
    nbfed("new", "study.ipynb", cwd=tmp_path)
    found = nbfed("check", "study.ipynb", cwd=tmp_path)
    assert found.returncode == 4
    assert "NF101" in found.stdout
    assert "cannot be federated yet" in found.stdout


def test_fix_writes_marks_that_check_then_accepts(tmp_path: Path, repository: Path) -> None:
    source = repository / "tests/fixtures/notebooks/inline_loop_unmarked.ipynb"
    (tmp_path / "loop.ipynb").write_bytes(source.read_bytes())
    before = envelope(nbfed("check", "loop.ipynb", "--format", "json", cwd=tmp_path))
    assert before["exit_code"] == 4
    assert "NF118" in {item["code"] for item in before["data"]["findings"]}
    fixed = nbfed("check", "loop.ipynb", "--fix", "--format", "json", cwd=tmp_path)
    assert fixed.returncode == 0, fixed.stdout
    assert set(envelope(fixed)["data"]["marked"].values()) == {"data", "model", "train", "test"}
    assert nbfed("check", "loop.ipynb", cwd=tmp_path).returncode == 0


def test_check_executes_nothing(tmp_path: Path) -> None:
    document = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("open('executed', 'w')\nraise SystemExit")]
    )
    nbformat.write(document, tmp_path / "trap.ipynb")
    assert nbfed("check", "trap.ipynb", cwd=tmp_path).returncode == 4
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["check", "absent.ipynb"],
        ["run", "--site", "nonsense", "x.ipynb"],
        ["run", "--rounds", "many", "x.ipynb"],
        ["nonsense"],
        ["ledger", "verify", "absent"],
    ],
)
def test_bad_calls_end_with_exit_code_4(tmp_path: Path, words: list[str]) -> None:
    found = nbfed(*words, cwd=tmp_path)
    assert found.returncode == 4
    assert found.stderr
    assert "Traceback" not in found.stderr


def test_an_unknown_strategy_is_never_replaced_in_silence(tmp_path: Path, repository: Path) -> None:
    document = nbformat.read(repository / "tests/fixtures/notebooks/inline_loop_tags.ipynb", as_version=4)
    cell = document.cells[-1]
    cell.source = cell.source.replace("FedYogi(min_available_clients=2)", "fl.server.strategy.Krum()")
    assert "Krum" in cell.source
    nbformat.write(document, tmp_path / "krum.ipynb")
    found = nbfed("run", "krum.ipynb", "--sites", "2", "--format", "json", cwd=tmp_path)
    value = envelope(found)
    assert (found.returncode, value["error_code"]) == (4, "NE403")
    assert "Krum" in value["message"]
    assert "--strategy" in value["hint"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("partition", ["bogus", "dirichlet:zero", "dirichlet:-1", "iid:2"])
def test_a_way_to_share_data_out_is_checked_before_anything_starts(tmp_path: Path, partition: str) -> None:
    nbfed("new", "study.ipynb", "--example", "breast-cancer", cwd=tmp_path)
    found = nbfed(
        *("run", "study.ipynb", "--sites", "3", "--partition", partition, "--format", "json"), cwd=tmp_path
    )
    assert envelope(found)["error_code"] == "NE403"
    assert not (tmp_path / "runs").exists()


def test_a_server_never_averages_where_the_notebook_asks_for_something_else() -> None:
    unknown = {"name": "", "written": "fl.server.strategy.Own", "cell": 7, "line": 2}
    manifest = Manifest("n.ipynb", "a", "b", "function", "torch", (), (), Names("net"), strategy=unknown)
    with pytest.raises(SettingsInvalid, match=r"fl\.server\.strategy\.Own") as caught:
        resolve(Options(sites=("a", "b")), manifest, 1)
    assert caught.value.where == "cell 7, line 2"
    chosen = resolve(Options(sites=("a", "b"), strategy="fedavg"), manifest, 1)
    assert chosen.strategy == {"name": "fedavg"}
