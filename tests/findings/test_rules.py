"""Each rule on a notebook that breaks it, at the right place, and on one that only looks like it."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from notebook_federator.findings import RULES, Finding
from notebook_federator.notebook import Notebook

Find = Callable[..., tuple[Finding, ...]]


class Case(NamedTuple):
    """What is changed in a sound notebook, and what then stands under the caret (empty: not looked at)."""

    code: str
    changes: dict[str, str]
    level: str = ""
    pointed: str = ""
    sites: int | None = None


TRAIN = "def train(net, trainloader, valloader, epochs):\n    "
TEST = "def test(net, testloader):\n    "
MODEL = "class Model(nn.Module):\n    def __init__(self{}):\n        super().__init__()\n        {}\n"
FEDAVG = "strategy = fl.server.strategy.FedAvg({})"
LOAD = "def load_data(data_path):\n    {}\n    return trainloader, valloader, testloader, num_examples"
NET = "#| federate: model\nnet = nn.Linear(3, 2)"
LATER = {
    "train": "#| federate: train\nfor x, y in loader:\n    net(x).sum().backward()",
    "test": "#| federate: test\naccuracy = sum(float(net(x).mean()) for x, y in loader)",
}
OWN_RUN = "net, log = Model(), train(Model(), *load_data('d')[:2], 1)"
SKIPPED = "cfg = {}\n=== code\n#| federate: skip\ncfg['lr'] = 0.1"
UNFILLED = """\
### START CODE HERE ###
    # loss = ...
    raise NotImplementedError("test is not written yet")
    ### END CODE HERE ###
"""
UNSEEDED = """\
import os, torch, numpy as np
from torch import nn
from torch.utils.data import DataLoader, TensorDataset"""
LOOP = """\
net = Model()
trainloader, valloader, testloader, num_examples = load_data("x")
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(3):
    for x, y in trainloader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()"""

BROKEN = [
    Case(
        "NF101",
        {"train": TRAIN + "### START CODE HERE ###\n    ### END CODE HERE ###\n    pass"},
        "error",
        "train",
    ),
    Case("NF101", {"test": TEST + UNFILLED + "    return loss, accuracy"}, "error", "test"),
    Case("NF102", {"train": ""}, "error"),
    Case("NF102", {"aggregate": ""}, "hint"),
    Case("NF103", {"test": "def test(net, testloader, threshold):\n    return 0.0, 1.0"}, "error", "test"),
    Case("NF103", {"train": TRAIN.replace("epochs", "epochs, fold") + "net.train()"}, "error", "train"),
    Case("NF103", {"model": MODEL.format(", width", "self.layer = nn.Linear(width, 2)")}, "error", "Model"),
    Case("NF103", {"data": "def load_data(data_path, size):\n    return a, b"}, "error", "load_data"),
    Case("NF103", {"test": "def test(net, testloader, *, device):\n    return 0.0, 1.0"}, "error", "test"),
    Case("NF104", {"train": TRAIN + "criterion(net)"}, "error", "criterion"),
    Case("NF104", {"before": "late = early\nearly = 1", "train": TRAIN + "net.lr = late"}, "error", "early"),
    Case(
        "NF104",
        {"before": "lr = 0.1", "train": TRAIN + "net.lr = lr", "after": "lr = 0.5"},
        "warning",
        "lr",
    ),
    Case("NF104", {"before": SKIPPED, "train": TRAIN + "net.lr = cfg['lr']"}, "warning", "cfg"),
    Case("NF104", {"before": "#| federate: skip\nlr = 1", "train": TRAIN + "net.lr = lr"}, "error", "lr"),
    Case("NF105", {"data": LOAD.format('x = open("/home/ines/x.csv")')}, "error", '"/home/ines/x.csv"'),
    Case("NF105", {"data": LOAD.format('x = open(r"C:\\Users\\Ines\\x.csv")')}, "error"),
    Case(
        "NF105", {"before": 'HOME = "~/x.csv"', "data": LOAD.format("x = open(HOME)")}, "error", '"~/x.csv"'
    ),
    Case("NF105", {"data": LOAD.format('x = open(f"/mnt/nas/{data_path}.csv")')}, "error"),
    Case("NF106", {"before": "import my_stain_tools", "train": TRAIN + "my_stain_tools.f(net)"}, "error"),
    Case("NF106", {"before": "from .tools import f", "train": TRAIN + "f(net)"}, "error"),
    Case(
        "NF107", {"model": MODEL.format("", "self.n = resnet(pretrained=True)")}, "warning", "pretrained=True"
    ),
    Case(
        "NF107", {"model": MODEL.format("", 'self.n = torch.hub.load("a", "b")')}, "warning", "torch.hub.load"
    ),
    Case("NF107", {"model": MODEL.format("", "self.n = vgg(weights=W.VGG16_Weights.DEFAULT)")}, "warning"),
    Case(
        "NF107", {"before": "!wget https://example.org/x.zip"}, "warning", "!wget https://example.org/x.zip"
    ),
    Case("NF108", {"train": TRAIN + "net.cuda()"}, "warning", "net.cuda()"),
    Case("NF108", {"before": 'D = "cuda:0"', "train": TRAIN + "net.to(D)"}, "warning", '"cuda:0"'),
    Case("NF109", {"aggregate": FEDAVG.format("min_fit_clients=3")}, "error", "", 2),
    Case("NF109", {"aggregate": FEDAVG.format("min_available_clients=8")}, "hint"),
    Case("NF109", {"aggregate": FEDAVG.format("fraction_fit=0.0, min_fit_clients=0")}, "error"),
    Case("NF109", {"aggregate": 'config = {"num_rounds": 0}'}, "error"),
    Case("NF109", {"aggregate": "strategy = MyOwnStrategy()"}, "warning"),
    Case("NF110", {"train": "def train(net, trainloader, valloader, epochs)\n    pass"}, "error"),
    Case("NF110", {"after": "plt.plot(x"}, "warning"),
    Case(
        "NF111",
        {
            "before": "import cv2_not_here_xyz\n%pip install cv2_not_here_xyz",
            "train": TRAIN + "cv2_not_here_xyz.f()",
        },
        "warning",
    ),
    Case("NF112", {"test": TEST + "return net(testloader)"}, "error", "net(testloader)"),
    Case("NF112", {"test": TEST + "hits = []\n    return 0.1, hits"}, "error", "hits"),
    Case(
        "NF112",
        {"test": TEST + "out = torch.cat([net(x) for x, _ in testloader])\n    return out"},
        "error",
        "out",
    ),
    Case("NF112", {"test": TEST + "net.eval()"}, "error"),
    Case("NF112", {"test": TEST + "return 0.5"}, "error", "0.5"),
    Case("NF112", {"test": TEST + "return 0.1, 0.2, 0.3"}, "error", "0.1, 0.2, 0.3"),
    Case(
        "NF112",
        {"test": TEST + 'return {"loss": 0.1, "outputs": net(testloader)}'},
        "error",
        "net(testloader)",
    ),
    Case("NF113", {"test": TEST + "accuracy, loss = 0.5, 0.1\n    return accuracy, loss"}, "warning"),
    Case(
        "NF113", {"test": TEST + "acc = 100 * 3 / 4\n    loss = 0.1\n    return loss, acc"}, "warning", "acc"
    ),
    Case(
        "NF114",
        {"imports": UNSEEDED},
        "hint",
    ),
    Case("NF115", {"data": LOAD.format('x = torch.load("data/mean.pt")')}, "warning", '"data/mean.pt"'),
    Case("NF115", {"data": LOAD.format('x = np.loadtxt("mean.csv")')}, "warning", '"mean.csv"'),
    Case("NF116", {"data": LOAD.format("!ls $data_path")}, "error", "!ls $data_path"),
    Case("NF116", {"before": "files = !ls", "data": LOAD.format("n = len(files)")}, "error"),
    Case("NF116", {"before": "%%writefile stain.py\nX = 1", "train": TRAIN + "import stain"}, "error"),
    Case("NF116", {"before": "!unzip patches.zip"}, "warning", "!unzip patches.zip"),
    Case("NF116", {"train": TRAIN + "display(net)"}, "error", "display"),
    Case("NF117", {"after": "#| federate: trian\nx = 1"}, "error"),
    Case("NF117", {"after": "x = 1\n#| federate: train"}, "warning", "#| federate: train"),
    Case("NF118", {"train": LOOP}, "error"),
    Case(
        "NF123",
        {
            "data": "#| federate: data\ndef draw():\n    return torch.randn(8, 3), torch.ones(8)",
            "model": NET,
            "train": "#| federate: train\nx, y = draw()\n(net(x).sum(1) - y).sum().backward()",
            "test": "#| federate: test\nx, y = draw()\naccuracy = float(net(x).mean())",
        },
        "error",
    ),
    Case(
        "NF120", {"data": NET, "model": "#| federate: data\nloader = DataLoader(net.data)", **LATER}, "error"
    ),
    Case("NF119", {"before": "lr = await f()", "train": TRAIN + "net.lr = lr"}, "error", "await f()"),
    Case("NF119", {"train": "async " + TRAIN + "await net"}, "error"),
]

SOUND = [
    Case("NF101", {"train": TRAIN + "### START CODE HERE ###\n    net.train()\n    ### END CODE HERE ###"}),
    Case("NF102", {}),
    Case("NF103", {"data": "def load_data():\n    return a, b"}),
    Case("NF103", {"data": "def load_data(folder, batch_size=32, *, seed=0):\n    return a, b"}),
    Case("NF103", {"train": "def train(model, loader, n_epochs):\n    model.train()"}),
    Case("NF103", {"before": "fold = 1", "train": TRAIN.replace("epochs", "epochs, fold") + "net.train()"}),
    Case(
        "NF103",
        {"model": MODEL.format(", width", "self.layer = nn.Linear(width, 2)"), "after": "net = Model(3)"},
    ),
    Case("NF103", {"train": "def train(*args):\n    pass"}),
    Case("NF103", {"model": MODEL.format(", width=3", "self.layer = nn.Linear(width, 2)")}),
    Case("NF103", {"model": "class Model(nn.Module):\n    def forward(self, x):\n        return x"}),
    Case("NF104", {"before": "lr = 0.1\nlr = lr * 2", "train": TRAIN + "net.lr = lr", "after": "other = 1"}),
    Case(
        "NF104", {"before": "history = []", "train": TRAIN + "history.append(net)", "after": "print(history)"}
    ),
    Case("NF104", {"train": TRAIN + "net.lr = learning_rate", "after": "learning_rate = 0.1"}),
    Case("NF104", {"after": "net = Model()\nfor x, y in load_data('d')[0]:\n    pass"}),
    Case("NF104", {"before": "log = []", "train": TRAIN + "log.append(1)", "after": OWN_RUN}),
    Case("NF104", {"before": "sum([1])", "after": "def sum(x):\n    return 0"}),
    Case("NF105", {"after": 'torch.save(1, "/home/ines/last.pt")'}),
    Case("NF105", {"before": 'data_path = "/home/ines/data"'}),
    Case("NF105", {"data": LOAD.format('x = data_path + "/home/x.csv"; y = f"{data_path}/data/x"; z = "/"')}),
    Case("NF105", {"data": LOAD.format('"""Reads /home/ines/x.csv"""')}),
    Case("NF105", {"train": TRAIN + 'print("/ epochs, a:b, 1/2, C: 3")'}),
    Case("NF106", {"before": "import my_stain_tools"}),
    Case(
        "NF106",
        {
            "before": "try:\n    import apex_not_here\nexcept ImportError:\n    apex_not_here = None",
            "train": TRAIN + "apex_not_here",
        },
    ),
    Case("NF107", {"model": MODEL.format("", "self.n = resnet(pretrained=False, weights=None)")}),
    Case("NF107", {"train": TRAIN + "nn.CrossEntropyLoss(weight=class_weights); np.average(x, weights=w)"}),
    Case("NF107", {"after": "import requests\nrequests.get('https://example.org')"}),
    Case("NF107", {"data": LOAD.format("x = table.get('requests'); load(x)")}),
    Case(
        "NF108",
        {"before": 'D = "cuda" if torch.cuda.is_available() else "cpu"', "train": TRAIN + "net.to(D)"},
    ),
    Case("NF108", {"train": TRAIN + "if torch.cuda.is_available():\n        net.cuda()"}),
    Case(
        "NF108",
        {"before": "use_cuda = torch.cuda.is_available()", "train": TRAIN + "if use_cuda: net.cuda()"},
    ),
    Case("NF108", {"train": TRAIN + 'print(net.device.type == "cuda")'}),
    Case("NF108", {"after": "Model().cuda()"}),
    Case("NF109", {"aggregate": FEDAVG.format("min_fit_clients=3")}, "", "", 3),
    Case("NF109", {"aggregate": FEDAVG.format("fraction_eval=0.0")}, "", "", 3),
    Case("NF106", {"before": "%%writefile stain.py\nX = 1", "train": TRAIN + "import stain"}),
    Case("NF110", {"before": "%matplotlib inline\n!pip install torch\nx?"}),
    Case("NF110", {"after": "#| federate: skip\nplt.plot(x"}),
    Case("NF111", {"before": "import json"}),
    Case("NF112", {"test": TEST + "loss = sum([1.0]) / 2\n    return loss, np.mean([1, 2])"}),
    Case(
        "NF112", {"test": TEST + "losses = []\n    losses.append(1)\n    return float(np.mean(losses)), 0.5"}
    ),
    Case("NF112", {"test": TEST + "result = (0.1, 0.2)\n    return result"}),
    Case("NF112", {"test": TEST + 'return {"loss": 0.1, "accuracy": accuracy_score(a, b)}'}),
    Case("NF112", {"test": TEST + "return evaluate(net, testloader)"}),
    Case("NF112", {"test": TEST + "loss = criterion(net(0), 1)\n    return loss.item(), loss.cpu().item()"}),
    Case("NF112", {"test": TEST + "def hook(m, i, o):\n        return [o]\n    return 0.1, 0.2"}),
    Case("NF113", {}),
    Case("NF113", {"test": TEST + 'return {"accuracy": 0.5, "loss": 0.1}'}),
    Case(
        "NF114",
        {"imports": UNSEEDED + "\ndef fix():\n    torch.manual_seed(1)\nfix()"},
    ),
    Case("NF115", {"data": LOAD.format('x = open(os.path.join(data_path, "csv/labels.csv"))')}),
    Case("NF115", {"data": LOAD.format('x = ", ".join(["a.csv"]); y = x.load("model")')}),
    Case("NF115", {"train": TRAIN + 'f = open("log.txt", "w")'}),
    Case("NF115", {"train": TRAIN + 'torch.save(net, "best.pt"); net = torch.load("best.pt")'}),
    Case("NF115", {"after": 'x = np.loadtxt("mean.csv")'}),
    Case("NF116", {"before": "!pip install torch\n%matplotlib inline\n!nvidia-smi"}),
    Case("NF116", {"train": "%%time\n" + TRAIN + "net.train()"}),
    Case("NF116", {"after": "display(Model())"}),
    Case("NF117", {"after": "#| federate: skip\nx = 1"}),
    Case("NF117", {"after": "# federate this later: data"}),
    Case("NF118", {}),
    Case(
        "NF123",
        {
            "data": "#| federate: data\nX, y = torch.randn(8, 3), torch.ones(8)",
            "model": NET,
            "train": "#| federate: train\nfor i in range(4):\n    loss(net(X[i:i+2]), y[i:i+2]).backward()",
            "test": "#| federate: test\naccuracy = float((net(X).sum(1) == y).float().mean())",
        },
    ),
    Case(
        "NF123",
        {
            "data": "#| federate: data\nnum_examples = {'trainset': 8, 'testset': 8}\ndraw = torch.randn",
            "model": NET,
            "train": "#| federate: train\nnet(draw(8, 3)).sum().backward()",
            "test": "#| federate: test\naccuracy = float(net(draw(8, 3)).mean())",
        },
    ),
    Case(
        "NF104",
        {"train": "#| federate: train\nwhile True:\n    for x in loader:\n        y = x\n    print(y)"}
        | {"data": "#| federate: data\nloader = DataLoader([1.0])", "model": NET, "test": LATER["test"]},
    ),
    Case("NF120", {}),
    Case("NF120", {"data": "#| federate: data\nloader = DataLoader([])", "model": NET, **LATER}),
    Case("NF119", {"after": "x = await f()"}),
    Case("NF119", {"before": "async def f():\n    await g()", "train": TRAIN + "f()"}),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.code)
def test_a_broken_notebook_is_found_out_at_the_place(
    case: Case, find: Find, spoil: Callable[..., Notebook]
) -> None:
    found = [item for item in find(case.sites, **case.changes) if item.code == case.code]
    assert case.level in [item.level for item in found]
    notebook = spoil(**case.changes)
    assert not case.pointed or case.pointed in [_pointed(notebook, item) for item in found]


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.code)
def test_what_only_looks_wrong_is_left_alone(case: Case, find: Find) -> None:
    assert [item for item in find(case.sites, **case.changes) if item.code == case.code] == []


def _pointed(notebook: Notebook, finding: Finding) -> str:
    """What stands under the caret of ``finding``."""
    line = notebook.cell(finding.cell).source.split("\n")[finding.line - 1] if finding.cell else ""
    return line[finding.column : finding.end_column]


def test_a_sound_notebook_has_no_findings(find: Find) -> None:
    assert find() == ()


def test_every_rule_has_a_broken_and_a_sound_case() -> None:
    codes = {rule.code for rule in RULES}
    assert {case.code for case in BROKEN} == codes
    assert {case.code for case in SOUND} == codes
