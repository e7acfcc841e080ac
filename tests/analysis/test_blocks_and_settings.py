"""Blocks, suggestions, strategy, rounds, requirements and helper modules."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from notebook_federator import analysis, notebook

Analyse = Callable[..., analysis.Analysis]


@pytest.fixture
def analysed(tmp_path: Path) -> Analyse:
    def analyse(*sources: str) -> analysis.Analysis:
        cells = [
            {"cell_type": "code", "metadata": {}, "source": s, "outputs": [], "execution_count": None}
            for s in sources
        ]
        path = tmp_path / "n.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return analysis.analyse(notebook.read(path))

    return analyse


def test_bare_names_come_first_then_marks(analysed: Analyse) -> None:
    found = analysed(
        "def load_data(p, q=1, *, r, **s):\n    if p:\n        return 1, 2\n    return x",
        "class Model:\n    def __init__(self, n=1): pass",
        "#| federate: train\nfor e in range(3): pass",
        "test = lambda net, loader: (0.1, 0.2)",
        "strategy = FedAvg()",
    )
    assert [(b.role, b.rule, b.name, b.cells) for b in found.blocks] == [
        ("data", "bare name", "load_data", (1,)),
        ("model", "bare name", "Model", (2,)),
        ("train", "cell mark", None, (3,)),
        ("test", "bare name", "test", (4,)),
        ("aggregate", "bare name", "strategy", (5,)),
    ]
    data, model = found.block("data"), found.block("model")
    assert data is not None
    assert data.signature is not None
    assert [(p.name, p.kind, p.has_default) for p in data.signature.params] == [
        ("p", "positional", False),
        ("q", "positional", True),
        ("r", "keyword", False),
        ("s", "kwargs", True),
    ]
    assert data.signature.returns == (("1", "2"), ("x",))
    assert model is not None
    assert model.signature is not None
    assert [p.name for p in model.signature.params] == ["n"]


def test_a_value_under_a_block_name_is_no_block(analysed: Analyse) -> None:
    assert analysed("train = [1]\ntest = open('x')\nModel = Model2()").blocks == ()


@pytest.mark.parametrize(
    ("body", "template"),
    [
        ("pass", True),
        ("'''doc'''\n    ...", True),
        ("raise NotImplementedError('x')", True),
        ("### START CODE HERE ###\n    # hint\n    ### END CODE HERE ###\n    return a", True),
        ("### START CODE HERE ###\n    ...  # hint\n    ### END CODE HERE ###\n    return a", True),
        ("### START CODE HERE ###\n    a = 1\n    ### END CODE HERE ###\n    return a", False),
        ("return 1", False),
    ],
)
def test_unfilled_templates(analysed: Analyse, body: str, template: bool) -> None:
    (block,) = analysed(f"def train(net, trainloader, valloader, epochs):\n    {body}").blocks
    assert block.template is template


def test_a_class_that_only_inherits_is_filled(analysed: Analyse) -> None:
    assert not analysed("class Model(Net):\n    pass").blocks[0].template
    assert analysed("class Model(nn.Module):\n    pass").blocks[0].template


def test_cells_that_do_not_parse_are_placed(analysed: Analyse) -> None:
    found = analysed("x = 1", "y = 1\nfor", "def load_data(): return 1")
    (error,) = found.errors
    assert (error.place.cell, error.place.line) == (2, 2)
    assert error.source == "for"
    assert found.block("data") is not None


@pytest.mark.parametrize(
    ("source", "name", "settings"),
    [
        ("strategy = fl.server.strategy.FedAvg(fraction_fit=0.5, fraction_eval=.2, min_fit_clients=3)",
         "fedavg", {"fraction_train": 0.5, "fraction_evaluate": 0.2, "min_train_nodes": 3}),
        ("strategy = FedAvg(0.5, 0.2, 3, 4, 5)", "fedavg",
         {"fraction_train": 0.5, "fraction_evaluate": 0.2, "min_train_nodes": 3, "min_evaluate_nodes": 4,
          "min_available_nodes": 5}),
        ("N = 4\nMU: float = 0.1\nstrategy = flwr.FedProx(min_available_clients=N - 1, proximal_mu=MU)",
         "fedprox", {"min_available_nodes": 3, "proximal_mu": 0.1}),
        ("strategy = FedAdam(eta=1e-2, tau=-1)", "fedadam", {"eta": 0.01, "tau": -1}),
        ("strategy = FedAvgM(server_momentum=0.9)", "fedavgm", {"server_momentum": 0.9}),
        ("strategy = FedTrimmedAvg(beta=0.2)", "trimmed_mean", {"beta": 0.2}),
        ("strategy = FedMedian()", "median", {}),
        ("fl.server.start_server(strategy=FedYogi(eta=2))", "fedyogi", {"eta": 2}),
        ("strategy = fl.server.strategy.Krum(num_malicious_clients=1)", "", {}),
        ("strategy = make_strategy()", "", {}),
    ],
)  # fmt: skip
def test_strategies_are_translated(
    analysed: Analyse, source: str, name: str, settings: dict[str, float]
) -> None:
    found = analysed(source).strategy
    assert found is not None
    assert (found.name, dict(found.settings)) == (name, settings)


def test_what_a_strategy_leaves_open(analysed: Analyse) -> None:
    found = analysed(
        "é = 1; strategy = FedAvg(fraction_fit=f(), on_fit_config_fn=g, min_fit_clients=3)"
    ).strategy
    assert found is not None
    assert (found.unread, found.ignored) == (("fraction_fit",), ("on_fit_config_fn",))
    place = found.arguments["min_train_nodes"]
    text = "é = 1; strategy = FedAvg(fraction_fit=f(), on_fit_config_fn=g, min_fit_clients=3)"
    assert text[place.column : place.end_column] == "3"


@pytest.mark.parametrize(
    ("source", "rounds"),
    [
        ('config = {"num_rounds": 3}', 3),
        ("R = 4\nconfig = dict(num_rounds=R)", 4),
        ("fl.server.start_server(config=fl.server.ServerConfig(num_rounds=7))", 7),
        ("c = ServerConfig(9)", 9),
        ('config = {"num_rounds": f()}', None),
    ],
)
def test_rounds(analysed: Analyse, source: str, rounds: int | None) -> None:
    found = analysed(source).rounds
    assert found is not None
    assert found.rounds == rounds


def test_no_rounds_and_message_length(analysed: Analyse) -> None:
    found = analysed("x = {'a': 1}", "grpc_max_message_length = 1024")
    assert found.rounds is None
    assert found.grpc_max_message_length is not None
    assert found.grpc_max_message_length.cell == 2


def test_requirements_come_from_pip_lines_then_this_environment(analysed: Analyse) -> None:
    found = analysed(
        "!pip install -q torch==1.10 'scikit-image>=0.19' -r more.txt\n%pip install opencv-python --upgrade",
        "import subprocess\nsubprocess.run([sys.executable, '-m', 'pip', 'install', 'timm==0.4'])",
        "%conda install -c conda-forge -y nibabel=3.2 cudatoolkit\n!pip install git+https://example.org/a/stain.git@main",
        "import torch, os, cv2, sklearn.svm, skimage\nimport numpy as np, nowhere_to_be_found",
        "def f():\n    import yaml",
    )
    by_name = {r.distribution: r for r in found.requirements}
    numpy = metadata.version("numpy")
    assert (by_name["torch"].specifier, by_name["torch"].source) == ("==1.10", "pip line")
    assert (by_name["numpy"].specifier, by_name["numpy"].source) == (f"=={numpy}", "environment")
    assert by_name["scikit-image"].specifier == ">=0.19"
    assert by_name["scikit-image"].modules == ("skimage",)
    assert by_name["timm"].specifier == "==0.4"
    assert by_name["nibabel"].specifier == "==3.2.*"
    assert by_name["stain"].specifier == " @ git+https://example.org/a/stain.git@main"
    assert by_name["scikit-learn"].modules == ("sklearn",)
    assert by_name["nowhere_to_be_found"].source == "same name"
    assert "PyYAML" in by_name
    assert not {"os", "subprocess", "cudatoolkit", "conda-forge", "more.txt"} & by_name.keys()
    assert by_name["torch"].place.cell == 1


def test_helper_modules_are_followed(analysed: Analyse, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "a.py").write_text("from . import b\nfrom .c import x\nimport numpy")
    (tmp_path / "pack" / "b.py").write_text("broken (")
    (tmp_path / "pack" / "c.py").write_text("from ..gone import y")
    (tmp_path / "lib" / "deep.py").write_text("import pack.a")
    (tmp_path / "json.py").write_text("this is not the json you are looking for")
    found = analysed("import sys, json\nsys.path.insert(0, 'lib')", "import deep")
    assert [m.path for m in found.modules] == [
        "deep.py",
        "pack/__init__.py",
        "pack/a.py",
        "pack/b.py",
        "pack/c.py",
    ]
    assert "numpy" in [r.distribution for r in found.requirements]
    assert "deep" not in [r.distribution for r in found.requirements]


def test_names_that_nothing_defines(analysed: Analyse) -> None:
    found = analysed(
        "def load_data():\n    return helper(), gone",
        "def helper():\n    return late, print, __name__",
        "late = 1\nfrom os import path",
    )
    assert [(u.name, u.role, u.place.cell) for u in found.unresolved] == [("gone", "data", 1)]


@pytest.mark.parametrize(
    ("cells", "roles"),
    [
        (["import x", "df = pd.read_csv('a.csv')", "clf = RandomForestClassifier()", "clf.fit(df)",
          "y = clf.predict(df)"],
         {"data": (2,), "model": (3,), "train": (4,), "test": (5,)}),
        (["class Net(nn.Module): pass\ndef step(m):\n    loss.backward()", "dl = DataLoader(d)",
          "net = Net()", "for e in range(3):\n    step(net)", "plt.plot(1)",
          "with torch.no_grad():\n    acc = net(1)",
          "s = fl.server.strategy.FedAvg()"],
         {"data": (2,), "model": (3,), "train": (4,), "test": (6,), "aggregate": (7,)}),
        (["x = 1", "print(x)"], {}),
        (["#| federate: skip\ndl = DataLoader(d)", "dl = DataLoader(d)"], {"data": (2,)}),
    ],
)  # fmt: skip
def test_suggestions(analysed: Analyse, cells: list[str], roles: dict[str, tuple[int, ...]]) -> None:
    found = analysed(*cells)
    assert {block.role: block.cells for block in found.suggestions} == roles
    assert all(block.rule == "suggestion" and block.reason for block in found.suggestions)


def test_suggestions_written_as_marks_become_blocks(analysed: Analyse, tmp_path: Path) -> None:
    found = analysed(
        "dl = DataLoader(d)", "net = Net2()\nnn.Sequential()", "m = nn.Sequential()", "loss.backward()"
    )
    marks = {number: block.role for block in found.suggestions for number in block.cells}
    notebook.write_marks(tmp_path / "n.ipynb", marks)
    again = analysis.analyse(notebook.read(tmp_path / "n.ipynb"))
    assert {b.role: b.cells for b in again.blocks} == {b.role: b.cells for b in found.suggestions}
    assert again.suggestions == ()
