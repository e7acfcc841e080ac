"""The notebooks that are written: valid, the same every time, empty or running as they stand."""

import ast
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbfed_site.contracts import BadInput
from notebook_federator.analysis import analyse
from notebook_federator.notebook import read
from notebook_federator.templates import EXAMPLES, write
from PIL import Image

KINDS = (None, *EXAMPLES)
torch.set_num_threads(1)
START, END = "### START CODE HERE ###", "### END CODE HERE ###"


def code_cells(path: Path) -> dict[str, str]:
    """Source of each code cell by its id."""
    notebook = nbformat.read(path, as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


def run_notebook(path: Path) -> dict[str, Any]:
    """The namespace after all code cells, from top to bottom."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for name, source in code_cells(path).items():
        exec(compile(source, name, "exec"), namespace)
    return namespace


@pytest.mark.parametrize("kind", KINDS)
def test_written_notebook_is_valid_and_clean(kind: str | None, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.ipynb", kind)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert all(
        not cell.outputs and cell.execution_count is None for cell in notebook.cells if "outputs" in cell
    )
    assert write(tmp_path / "again.ipynb", kind).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_every_notebook_has_the_seven_parts_with_marks(kind: str | None, tmp_path: Path) -> None:
    cells = code_cells(write(tmp_path / "mine", kind))
    parts = ["dependencies", "preparation", "load-data", "model", "train", "test", "aggregation"]
    assert [name for name in cells if name in parts] == parts
    assert all(cells[name].count(START) == cells[name].count(END) >= 1 for name in parts)
    defined = {
        name.id if isinstance(name, ast.Name) else name.name
        for source in cells.values()
        for node in ast.walk(ast.parse(source))
        for name in (node.targets if isinstance(node, ast.Assign) else [node])
        if isinstance(name, ast.FunctionDef | ast.ClassDef | ast.Name)
    }
    assert {"load_data", "Model", "train", "test", "strategy", "config"} <= defined


def test_the_suffix_is_added_and_nothing_is_overwritten(tmp_path: Path) -> None:
    assert write(tmp_path / "study.v2") == tmp_path / "study.v2.ipynb"
    (tmp_path / "study.v2.ipynb").write_text("mine")
    with pytest.raises(BadInput, match="stays as it is"):
        write(tmp_path / "study.v2", "histology")
    assert (tmp_path / "study.v2.ipynb").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("a.ipynb", "mnist", "no example 'mnist'"),
        ("no/a.ipynb", None, "folder does not exist"),
        ("", None, "name"),
    ],
)
def test_what_cannot_be_written_is_said(
    name: str, kind: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        write(Path(name), kind)
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_empty_template_runs_and_is_seen_to_be_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.ipynb")
    namespace = run_notebook(path)
    assert isinstance(namespace["Model"](), torch.nn.Module)
    blocks = {block.role: block for block in analyse(read(path)).blocks}
    assert {role: block.template for role, block in blocks.items()} == {
        "data": True,
        "model": True,
        "train": True,
        "test": True,
        "aggregate": False,
    }


@pytest.mark.parametrize("kind", EXAMPLES)
def test_examples_are_seen_to_be_filled(kind: str, tmp_path: Path) -> None:
    analysis = analyse(read(write(tmp_path / "mine.ipynb", kind)))
    assert {block.role: block.template for block in analysis.blocks} == dict.fromkeys(
        ("data", "model", "train", "test", "aggregate"), False
    )
    assert analysis.strategy is not None
    assert analysis.strategy.name == "fedavg"
    assert analysis.errors == ()


@pytest.mark.parametrize("kind", KINDS)
def test_aggregation_cell_runs_with_and_without_flower(
    kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = code_cells(write(tmp_path / "mine.ipynb", kind))["aggregation"]
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    assert type(namespace["strategy"]).__module__.startswith("flwr.serverapp.strategy")
    assert namespace["config"] == {"num_rounds": 3}
    monkeypatch.setitem(sys.modules, "flwr.serverapp.strategy", None)
    exec(source, namespace := {})
    assert namespace["strategy"]["min_train_nodes"] == 2


def test_breast_cancer_runs_from_top_to_bottom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = run_notebook(write(tmp_path / "mine.ipynb", "breast-cancer"))
    assert namespace["num_examples"] == {"trainset": 170, "valset": 57, "testset": 342}
    assert namespace["accuracy"] > 0.9
    assert "test loss" in capsys.readouterr().out
    sets = [namespace[name].dataset for name in ("trainloader", "valloader", "testloader")]
    labels = torch.cat([part.tensors[1] for part in sets])
    assert labels.bincount().tolist() == [357, 212]
    assert all(abs(part.tensors[1].float().mean().item() - 212 / 569) < 0.01 for part in sets)
    rows = torch.cat([part.tensors[0] for part in sets])
    assert len(rows.unique(dim=0)) == 569
    train = sets[0].tensors[0]
    assert train.mean(dim=0).abs().max() < 1e-5
    assert (train.std(dim=0, correction=0) - 1).abs().max() < 1e-4


def test_breast_cancer_is_split_alike_by_every_process(tmp_path: Path) -> None:
    cells = code_cells(write(tmp_path / "mine.ipynb", "breast-cancer"))
    loaded = []
    for _ in range(2):
        namespace: dict[str, Any] = {}
        for name in ("dependencies", "settings", "preparation", "load-data"):
            exec(cells[name], namespace)
        loaded.append(namespace["load_data"]())
    for one, two in zip(loaded[0][:3], loaded[1][:3], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.dataset.tensors, two.dataset.tensors, strict=True))


@pytest.fixture
def site_folder(tmp_path: Path) -> Path:
    """sites/site-1: reddish tumours and bluish tissue, 40 of class 1 and 60 of class 0 in each set."""
    folder = tmp_path / "sites" / "site-1"
    (folder / "patches").mkdir(parents=True)
    for name in ("train_client", "val_client", "test"):
        lines = ["images,GT"]
        for number in range(100):
            label = int(number < 40)
            colour = (150 + number, 40 + number, 60) if label else (60, 40 + number, 150 + number)
            Image.new("RGB", (50, 48), colour).save(folder / "patches" / f"{name}_{number}.png")
            lines.append(f"{name}_{number}.png,{label}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def histology(tmp_path: Path, site_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Code cells of the histology example, for a folder where its own data_path exists."""
    monkeypatch.chdir(tmp_path)
    return code_cells(write(tmp_path / "mine.ipynb", "histology"))


def definitions(cells: dict[str, str], **settings: object) -> dict[str, Any]:
    """The namespace of all cells but the trial, with other settings."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for name, source in cells.items():
        if name != "trial":
            exec(source, namespace)
        if name == "settings":
            assert set(settings) <= set(namespace)
            namespace.update(settings)
    return namespace


def test_histology_runs_from_top_to_bottom(histology: dict[str, str], tmp_path: Path) -> None:
    namespace = run_notebook(tmp_path / "mine.ipynb")
    assert namespace["num_examples"] == {"trainset": 80, "valset": 80, "testset": 80}
    assert namespace["accuracy"] > 0.7


def test_histology_undersamples_only_the_sets_it_is_told_to(histology: dict[str, str]) -> None:
    namespace = definitions(histology, BALANCED_SETS="train val")
    loaders = namespace["load_data"]("sites/site-1")
    assert loaders[3] == {"trainset": 80, "valset": 80, "testset": 100}
    labels = torch.cat([labels for _, labels in loaders[0]])
    assert labels.bincount().tolist() == [40, 40]
    again = definitions(histology)["load_data"]("sites/site-1")
    assert again[0].dataset.rows == loaders[0].dataset.rows
    assert namespace["undersample"]([("a.png", 1), ("b.png", 1)]) != []


def test_histology_patches_are_read_once_scaled_and_turned(
    histology: dict[str, str], site_folder: Path
) -> None:
    namespace = definitions(histology)
    dataset = namespace["load_data"]("sites/site-1")[2].dataset
    patch, label = dataset[0]
    assert patch.shape == (3, 50, 50)
    assert patch.dtype == torch.float32
    with Image.open(site_folder / "patches" / dataset.rows[0][0]) as image:
        corner = torch.tensor(image.getpixel((0, 0)))
    assert torch.allclose(patch[:, 0, 0], corner / 127.5 - 1)
    assert label == dataset.rows[0][1]
    (site_folder / "patches" / dataset.rows[0][0]).unlink()
    assert torch.equal(dataset[0][0], patch)
    (site_folder / "patches" / dataset.rows[1][0]).write_bytes(b"not an image")
    with pytest.raises(OSError, match="cannot identify image"):
        dataset[1]


def test_histology_augmentation_moves_pixels_and_changes_none(histology: dict[str, str]) -> None:
    namespace = definitions(histology)
    dataset = namespace["load_data"]("sites/site-1")[0].dataset
    dataset.kept[0] = torch.arange(3 * 50 * 50, dtype=torch.uint8).reshape(3, 50, 50)
    turned = {tuple(dataset[0][0].flatten().tolist()) for _ in range(60)}
    assert len(turned) == 8
    assert len({tuple(sorted(patch)) for patch in turned}) == 1


def test_full_size_is_vgg16_as_published(histology: dict[str, str]) -> None:
    namespace = definitions(histology, INPUT_SIZE=224, WIDTH=1.0, NORM="none")
    with torch.device("meta"):
        net = namespace["Model"]()
    published, classes = 138_357_544, 1000
    weights = published - 4097 * classes + 4097 * 2
    assert sum(array.numel() for array in net.parameters()) == weights
    assert net(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 2)


def test_histology_reads_real_site_folders(
    histology: dict[str, str], shared_data: Path, tmp_path: Path
) -> None:
    from notebook_federator.sitedata import split

    source = shared_data / "idc"
    sites = split(source / "manifest.csv", source / "patches.tar", tmp_path / "real", limit=16).sites
    namespace = definitions(histology)
    trainloader, valloader, testloader, counts = namespace["load_data"](sites["site-2"])
    assert counts == {"trainset": 32, "valset": 32, "testset": 32}
    net = namespace["Model"]()
    before = [array.clone() for array in net.parameters()]
    namespace["train"](net, trainloader, valloader, 1)
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    loss, accuracy = namespace["test"](net, testloader)
    assert loss > 0
    assert 0 <= accuracy <= 1
