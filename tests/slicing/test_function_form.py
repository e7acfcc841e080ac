"""Notebooks with load_data, Model, train and test: what the slice holds and what stays behind."""

from collections.abc import Callable

import pytest
from nbfed_site.contracts import NotebookBlocked
from notebook_federator import slicing

Cut = Callable[..., slicing.Slice]

IMPORTS = "import torch, random\nfrom torch import nn, optim"
DATA = "def load_data(data_path):\n    return [1], [2], [3], {'trainset': 1, 'valset': 1, 'testset': 1}"
MODEL = "class Model(nn.Module):\n    size = 2"
TRAIN = "def train(net, trainloader, valloader, epochs):\n    return torch"
TEST = "def test(net, testloader):\n    return 0.0, 1.0"


def section(result: slicing.Slice, phase: str) -> list[str]:
    part = next(part for part in result.manifest.sections if part.phase == phase)
    lines = result.text.split("\n")[part.first_line : part.last_line]
    return [line for line in lines if line]


def names(found: tuple[slicing.Carried, ...] | tuple[slicing.Dropped, ...]) -> set[str]:
    return {item.name for item in found}


def test_the_template_becomes_one_line_a_phase(cut: Cut) -> None:
    result = cut(IMPORTS, DATA, MODEL, TRAIN, TEST)
    assert section(result, "data") == [
        "trainloader, valloader, testloader, num_examples = load_data(data_path)"
    ]
    assert section(result, "model") == ["net = Model()"]
    assert section(result, "train") == ["train(net, trainloader, valloader, epochs)"]
    assert section(result, "test") == ["nbfed_test_result = test(net, testloader)"]
    found = result.manifest.names
    assert (found.model, found.train_loader, found.validation_loader) == ("net", "trainloader", "valloader")
    assert (found.test_loader, found.num_examples) == ("testloader", "num_examples")
    assert found.test_result == "nbfed_test_result"
    assert [(p.name, p.meaning, p.default) for p in result.manifest.parameters] == [
        ("data_path", "data_path", None),
        ("epochs", "epochs", 1),
    ]
    assert result.manifest.form == "function"
    assert result.manifest.framework == "torch"


def test_imports_are_narrowed_and_names_accounted_for(cut: Cut) -> None:
    result = cut(IMPORTS, "import os.path as p, sys\nimport numpy", DATA, MODEL, TRAIN + "(p)", TEST)
    assert "import torch\n" in result.text
    assert "from torch import nn\n" in result.text
    assert "import os.path as p\n" in result.text
    assert names(result.dropped) == {"random", "optim", "sys", "numpy"}


def test_own_runs_plots_and_flower_stay_behind(cut: Cut) -> None:
    result = cut(
        IMPORTS + "\nimport flwr as fl, json\nimport matplotlib.pyplot as plt",
        "plt.style.use('ggplot')\ntorch.manual_seed(0)",
        DATA,
        MODEL,
        TRAIN,
        TEST,
        "net = Model()\nhistory = train(net, [1], [2], 3)\nprint(test(net, [3]))\nplt.plot(history)",
        "class Client(fl.client.NumPyClient):\n    def fit(self, p, c):\n        train(net, [], [], 1)",
        "def main():\n    train(net, [], [], 1)",
        "if __name__ == '__main__':\n    torch.manual_seed(1)\n    main()",
        "strategy = fl.server.strategy.FedAvg(min_fit_clients=2)\nfl.server.start_server(strategy=strategy)",
    )
    assert "torch.manual_seed(0)" in section(result, "setup")
    for word in ("fl.", "flwr", "plt", "history", "start_server", "Client", "main()", "print"):
        assert word not in result.text
    assert section(result, "train") == ["train(net, trainloader, valloader, epochs)"]
    assert result.manifest.strategy == {"name": "fedavg", "min_train_nodes": 2}
    assert next(p for p in result.manifest.parameters if p.name == "epochs").default == 3


def test_globals_follow_their_phase(cut: Cut) -> None:
    result = cut(
        IMPORTS,
        DATA,
        MODEL,
        "loaders = trainloader, _, testloader, sizes = load_data('here')\nweight = 1 / 2",
        "trainloader, valloader, testloader, sizes = load_data('./site')\nweight = 1 / sizes['trainset']",
        "net = Model().to('cpu')\nopt = optim.SGD(net.parameters(), lr=weight)",
        "def train(net, trainloader, valloader, epochs):\n    opt.step()",
        TEST,
    )
    assert section(result, "data") == [
        "trainloader, valloader, testloader, sizes = load_data(data_path)",
        "weight = 1 / sizes['trainset']",
    ]
    assert section(result, "model") == [
        "net = Model().to('cpu')",
        "opt = optim.SGD(net.parameters(), lr=weight)",
    ]
    assert result.manifest.names.num_examples == "sizes"
    assert next(p for p in result.manifest.parameters if p.name == "data_path").default == "./site"


@pytest.mark.parametrize(
    ("returned", "line"),
    [
        ("a_train, a_test", "trainloader, testloader = load_data(data_path)"),
        ("tr, te", "trainloader, testloader = load_data(data_path)"),
        (
            "trainloader, testloader, num_examples",
            "trainloader, testloader, num_examples = load_data(data_path)",
        ),
        ("train_dl, val_dl, test_dl", "trainloader, valloader, testloader = load_data(data_path)"),
        ("a, b, c", "trainloader, valloader, testloader = load_data(data_path)"),
        ("a, b, {'trainset': 3}", "trainloader, testloader, num_examples = load_data(data_path)"),
        (
            "a, b, c, d, e",
            "trainloader, valloader, testloader, num_examples, nbfed_extra_4 = load_data(data_path)",
        ),
    ],
)
def test_what_load_data_returns(cut: Cut, returned: str, line: str) -> None:
    result = cut(IMPORTS, f"def load_data(data_path):\n    return {returned}", MODEL, TRAIN, TEST)
    assert section(result, "data") == [line]


@pytest.mark.parametrize(
    ("params", "call"),
    [
        ("net, trainloader, valloader, epochs", "train(net, trainloader, valloader, epochs)"),
        ("model, loader, n_epochs", "train(net, trainloader, epochs)"),
        ("net, trainloader, epochs=5, lr=0.1", "train(net, trainloader, epochs)"),
        ("a, b, c, d", "train(net, trainloader, valloader, epochs)"),
        ("net, trainloader, device, epochs", "train(net, trainloader, DEVICE, epochs)"),
        ("net, trainloader, lr=0.1, *, epochs", "train(net, trainloader, epochs=epochs)"),
        ("model, train_dl, test_dl, num_epochs", "train(net, trainloader, valloader, epochs)"),
    ],
)
def test_how_train_is_called(cut: Cut, params: str, call: str) -> None:
    result = cut(IMPORTS, "DEVICE = 'cpu'", DATA, MODEL, f"def train({params}):\n    return torch", TEST)
    assert section(result, "train") == [call]
    assert ("DEVICE = 'cpu'" in result.text) == ("DEVICE" in call)


def test_arguments_come_from_the_notebooks_own_call(cut: Cut) -> None:
    loads = "def load_data(path, size):\n    return [1], [2], [3], {}"
    result = cut(IMPORTS, "BATCH = 8", loads, MODEL, TRAIN, TEST, "a, b, c, d = load_data('x', BATCH * 2)")
    assert section(result, "data") == ["a, b, c, d = load_data(data_path, BATCH * 2)"]
    assert "BATCH = 8" in result.text
    with pytest.raises(NotebookBlocked, match="`size`"):
        cut(IMPORTS, loads, MODEL, TRAIN, TEST)


def test_load_data_without_a_path(cut: Cut) -> None:
    result = cut(IMPORTS, "def load_data():\n    return [1], [2], [3], {}", MODEL, TRAIN, TEST)
    assert section(result, "data") == ["trainloader, valloader, testloader, num_examples = load_data()"]
    assert [p.name for p in result.manifest.parameters] == ["epochs"]
    opens = "    open('data/a.csv')\n    open('data/b/c.csv')"
    inside = f"def load_data():\n    '''of train/test'''\n{opens}\n    return [1], [2]"
    result = cut(IMPORTS, inside, MODEL, TRAIN, TEST)
    assert "open((data_path + '/a.csv'))" in result.text
    assert "open((data_path + '/b/c.csv'))" in result.text
    assert next(p for p in result.manifest.parameters if p.meaning == "data_path").default == "data"


def test_a_named_folder_is_the_data_path(cut: Cut) -> None:
    loads = "def load_data():\n    return [DATA_DIR], [1]"
    result = cut(IMPORTS, "DATA_DIR = '/home/me/data'", loads, MODEL, TRAIN, TEST)
    first = result.manifest.parameters[0]
    assert (first.name, first.meaning, first.default) == ("DATA_DIR", "data_path", "/home/me/data")
    assert result.text.count("DATA_DIR = ") == 1


def test_last_definitions_win_unless_the_name_was_used_and_then_taken(cut: Cut) -> None:
    again = "def train(net, trainloader, valloader, epochs):\n    return lr, 'second'"
    result = cut(IMPORTS, "lr = 1", DATA, MODEL, TRAIN, again, TEST, "test(None, None)", "train(1, 2, 3, 4)",
                 "lr = 2\ntest = open('x')")  # fmt: skip
    assert "'second'" in result.text
    assert "lr = 1" in result.text
    assert "lr = 2" not in result.text
    assert "open" not in result.text


def test_missing_and_unfilled_blocks_are_said(cut: Cut) -> None:
    with pytest.raises(NotebookBlocked, match="no model and no test block"):
        cut(IMPORTS, DATA, TRAIN)
    head = TRAIN.split("\n", maxsplit=1)[0]
    unfilled = f"{head}\n    ### START CODE HERE ###\n    # ...\n    pass\n    ### END CODE HERE ###"
    with pytest.raises(NotebookBlocked, match="unfilled template") as caught:
        cut(IMPORTS, DATA, MODEL, unfilled, TEST)
    assert "cell 4, line 1" in caught.value.where


def test_awaiting_outside_functions_is_refused(cut: Cut) -> None:
    with pytest.raises(NotebookBlocked, match="awaits"):
        cut(IMPORTS, "x = await thing()", DATA, MODEL, TRAIN + ", x", TEST)


def test_optional_imports_conditions_and_futures(cut: Cut) -> None:
    result = cut(
        "from __future__ import annotations\n" + IMPORTS,
        "try:\n    import apex\nexcept ImportError:\n    apex = None",
        "if torch:\n    device = 'gpu'\nelse:\n    device = 'cpu'",
        "table = {}\nfor k in 'ab':\n    table[k] = device",
        "%load_ext autoreload\nconf = {'lr': 1}; conf['lr'] = 2; unused = 3",
        DATA,
        MODEL,
        "def train(net, trainloader, valloader, epochs):\n    return apex, device, table, conf",
        TEST,
    )
    lines = result.text.split("\n")
    assert lines[1] == "from __future__ import annotations"
    for line in (
        "    import apex",
        "    device = 'gpu'",
        "    table[k] = device",
        "conf = {'lr': 1}",
        "conf['lr'] = 2",
    ):
        assert line in lines
    assert "unused" not in result.text


def test_helper_modules_are_carried_with_their_requirements(cut: Cut, tmp_path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("from .deep import f\n")
    (tmp_path / "tools" / "deep.py").write_text("import numpy\nimport other\ndef f(): ...\n")
    (tmp_path / "other.py").write_text("x = 1\n")
    (tmp_path / "unused.py").write_text("import sklearn\n")
    imports = IMPORTS + "\nfrom tools import f\nimport unused\n!pip install openpyxl flwr==1.0"
    result = cut(imports, DATA, MODEL, TRAIN + ", f", TEST)
    assert sorted(result.modules) == ["other.py", "tools/__init__.py", "tools/deep.py"]
    assert result.manifest.modules.keys() == result.modules.keys()
    found = [requirement.split("=")[0] for requirement in result.manifest.requirements]
    assert found == ["numpy", "openpyxl", "torch"]
    slicing.write(result, tmp_path / "out")
    assert (tmp_path / "out" / "tools" / "deep.py").read_bytes() == result.modules["tools/deep.py"]
