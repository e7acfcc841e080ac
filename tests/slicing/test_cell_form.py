"""Notebooks whose cells are marked: sections, parameters and names."""

from collections.abc import Callable

import pytest
from nbfed_site.contracts import NotebookBlocked
from notebook_federator import slicing

Cut = Callable[..., slicing.Slice]

IMPORTS = (
    "import torch\nfrom torch import nn, optim\nfrom torch.utils.data import DataLoader\n"
    "import matplotlib.pyplot as plt"
)
DATA = (
    "#| federate: data\ntrain_loader = DataLoader(range(4))\ntest_loader = DataLoader(range(2))\n"
    "plt.plot([1])\ntrain_loader"
)
MODEL = "#| federate: model\nnetwork = nn.Linear(2, 2)"
OPTIMIZER = "opt = optim.SGD(network.parameters(), lr=lr)\nlosses = []"
TRAIN = (
    "#| federate: train\nfor epoch in range(num_epochs):\n    network.train()\n    for x in train_loader:\n"
    "        loss = network(x).sum()\n        loss.backward()\n        opt.step()\n"
    "    losses.append(loss.item())"
)
TEST = (
    "#| federate: test\nnetwork.eval()\ngood = 0\nfor x in test_loader:\n"
    "    good += int(network(x).sum() > 0)\nacc = good / 2"
)


def section(result: slicing.Slice, phase: str) -> list[str]:
    part = next(part for part in result.manifest.sections if part.phase == phase)
    return [line for line in result.text.split("\n")[part.first_line : part.last_line] if line]


def test_marked_cells_are_the_sections(cut: Cut) -> None:
    result = cut(IMPORTS, "num_epochs = 3\nlr = 0.1", DATA, MODEL, OPTIMIZER, TRAIN, "plt.plot(losses)", TEST)
    assert section(result, "data") == [
        "train_loader = DataLoader(range(4))",
        "test_loader = DataLoader(range(2))",
    ]
    assert section(result, "model") == [
        "network = nn.Linear(2, 2)",
        "opt = optim.SGD(network.parameters(), lr=lr)",
    ]
    assert section(result, "train") == TRAIN.split("\n")[1:]
    assert section(result, "test") == TEST.split("\n")[1:]
    assert "losses = []" in section(result, "setup")
    assert "plt" not in result.text
    found = result.manifest.names
    assert (found.model, found.train_loader, found.test_loader) == ("network", "train_loader", "test_loader")
    assert found.metrics == ("acc",)
    assert result.manifest.form == "cell"
    assert [(p.name, p.meaning, p.default) for p in result.manifest.parameters] == [
        ("num_epochs", "epochs", 3)
    ]
    assert result.text.count("num_epochs = ") == 1


def test_tags_mark_too_and_skipped_cells_do_not_exist(cut: Cut) -> None:
    sources = [IMPORTS, "num_epochs = 3\nlr = 0.1", DATA, MODEL, OPTIMIZER, TRAIN, TEST]
    plain = [source.split("\n", 1)[1] if source.startswith("#|") else source for source in sources]
    tags = {3: ["federate:data"], 4: ["federate:model"], 6: ["federate:train"], 7: ["federate:test"]}
    skip = "#| federate: skip\nlr = 5\nnetwork = None"
    assert cut(*plain, tags=tags).text == cut(*sources).text
    assert cut(*sources[:5], skip, *sources[5:]).text == cut(*sources).text


def test_tagged_parameters(cut: Cut) -> None:
    cell = "lr = 0.1\nnum_epochs = 2\nDATA_DIR = './d'\nname = 'x'"
    data = DATA.replace("range(4)", "[DATA_DIR, name]")
    result = cut(IMPORTS, cell, data, MODEL, OPTIMIZER, TRAIN, TEST, tags={2: ["parameters"]})
    assert [(p.name, p.meaning, p.default) for p in result.manifest.parameters] == [
        ("DATA_DIR", "data_path", "./d"),
        ("lr", "other", 0.1),
        ("name", "other", "x"),
        ("num_epochs", "epochs", 2),
    ]


def test_literals_in_place_become_parameters(cut: Cut) -> None:
    data = DATA.replace("range(4)", "open('data/train.csv')").replace("range(2)", "open('data/test.csv')")
    result = cut(IMPORTS, "lr = 0.1", data, MODEL, OPTIMIZER, TRAIN.replace("num_epochs", "10"), TEST)
    assert section(result, "train")[0] == "for epoch in range(epochs):"
    assert section(result, "data")[0] == "train_loader = DataLoader(open((data_path + '/train.csv')))"
    assert [(p.name, p.default) for p in result.manifest.parameters] == [
        ("data_path", "data"),
        ("epochs", 10),
    ]
    path = DATA.replace("range(4)", "folder.iterdir()")
    setup, train = "lr = 0.1\nfolder = Path('d/é')  # é", TRAIN.replace("num_epochs", "10")
    result = cut(IMPORTS + "\nfrom pathlib import Path", setup, path, MODEL, OPTIMIZER, train, TEST)
    assert "folder = Path(data_path)  # é" in result.text


def test_unmarked_code_waits_for_what_it_changes(cut: Cut) -> None:
    data = DATA.replace("range(4)", "range(size)")
    model = MODEL.replace("nn.Linear(2, 2)", "nn.Linear(2, size)")
    result = cut(IMPORTS, "num_epochs = 1\nlr = 1\nsize = 4", data, "size = 8", model, OPTIMIZER, TRAIN, TEST)
    assert "size = 4" in section(result, "setup")
    assert section(result, "data")[-1] == "size = 8"


def test_functions_and_marks_mix(cut: Cut) -> None:
    train = "def train(net, trainloader, epochs):\n    return optim"
    result = cut(IMPORTS, DATA, MODEL, train, TEST)
    assert section(result, "train") == ["train(network, train_loader, epochs)"]
    assert result.manifest.form == "mixed"


def test_a_mark_elsewhere_beats_a_namesake(cut: Cut) -> None:
    namesake = "def train(epoch):\n    opt.step()"
    marked = "#| federate: train\nfor epoch in range(2):\n    network.train()\n    loss = train(epoch)"
    result = cut(IMPORTS, "lr = 1", DATA, MODEL, OPTIMIZER, namesake, marked, TEST)
    assert result.manifest.form == "cell"
    assert section(result, "train")[-1] == "    loss = train(epoch)"


def test_a_block_that_needs_a_later_one_is_refused(cut: Cut) -> None:
    data = DATA + "\nsample = network(1)"
    with pytest.raises(NotebookBlocked, match="Cell 4 needs cell 3"):
        cut(IMPORTS, "num_epochs = 1\nlr = 1", MODEL, data, OPTIMIZER, TRAIN, TEST)


def test_a_model_cell_without_a_model_is_refused(cut: Cut) -> None:
    with pytest.raises(NotebookBlocked, match="used as a model"):
        cut(
            "#| federate: data\nx = [1]",
            "#| federate: model\ny = 3",
            "#| federate: train\nz = x",
            "#| federate: test\nw = x",
        )
