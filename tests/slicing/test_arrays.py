"""Marked cells without loaders: the arrays behind what the model is given."""

from collections.abc import Callable

import pytest
from notebook_federator import slicing

Cut = Callable[..., slicing.Slice]

IMPORTS = "import numpy as np\nimport torch\nfrom torch import nn\nfrom torch.utils.data import DataLoader"
DATA = """#| federate: data
X_train, y_train, X_test, y_test = np.load("a.npy"), np.load("b.npy"), np.load("c.npy"), np.load("d.npy")
weights, other, lr = torch.ones(2), np.load("e.npy"), 0.1"""
MODEL = "#| federate: model\nnet = nn.Linear(2, 2)"
TEST = "#| federate: test\nout = net(X_test)\nacc = (out.argmax(1) == y_test).float().mean()"
HELPERS = """def one_step(network, batch, target):
    output = network(batch)
    return criterion(output, target)
def fetch():
    return other[:8]"""
TRAIN = "#| federate: train\ncriterion = nn.CrossEntropyLoss(weights)\n"


def loop(*lines: str) -> str:
    """A loop over positions ``i`` with these lines in it."""
    body = "\n".join(f"        {line}" for line in lines)
    return (
        f"for epoch in range(3):\n    for i in range(0, len(X_train), 32):\n{body}\n        loss.backward()"
    )


LOSS = "loss = criterion(net(xb), yb)"


@pytest.mark.parametrize(
    ("train", "arrays"),
    [
        (loop("xb, yb = X_train[i:i+32], y_train[i:i+32]", LOSS), "X_train, y_train"),
        (loop("idx = torch.randperm(len(X_train))[i:i+32]", "xb = X_train[idx]", "yb = y_train[idx]", LOSS),
         "X_train, y_train"),
        (loop("xb = torch.from_numpy(X_train[i:i+32]).to('cpu')", "yb = torch.tensor(y_train[i:i+32])",
              "out = net(xb)", "out = out.squeeze()", "loss = nn.functional.cross_entropy(out, target=yb)"),
         "X_train, y_train"),
        (loop("loss = ((net(X_train[i]) - y_train[i]) ** 2).mean()"), "X_train, y_train"),
        (loop("xb = X_train[i:i+32]", "loss = ((net(xb) - xb) ** 2).mean()"), "(X_train,)"),
        (loop("loss = criterion(net(X_train[i:i+32], other[i:i+32]), y_train[i:i+32])"),
         "X_train, other, y_train"),
        ("opt = torch.optim.SGD(net.parameters(), lr)\nloss = criterion(net(X_train), y_train)",
         "X_train, y_train"),
        ("x = torch.tensor(X_train)\ny = torch.tensor(y_train)\nloss = criterion(net.forward(x), y)",
         "X_train, y_train"),
        ("X_train, y_train = X_train.float(), y_train.long()\nloss = criterion(net(X_train), y_train)",
         "X_train, y_train"),
        ("for xb, yb in zip(X_train, y_train):\n    " + LOSS, "X_train, y_train"),
        ("for k, (xb, yb) in enumerate(zip(X_train, y_train)):\n    " + LOSS, "X_train, y_train"),
        ("for batch in [(X_train[:9], y_train[:9])]:\n    xb, yb = batch\n    " + LOSS, "X_train, y_train"),
        (loop("with torch.no_grad():", "    held = criterion(net(X_test), y_test)",
              "xb, yb = X_train[i:i+32], y_train[i:i+32]", LOSS), "X_train, y_train"),
        ("net.fit(X_train, y_train)\nloss = 1", "X_train, y_train"),
        ("def step():\n    return criterion(net(X_train), y_train)\nloss = step()", "X_train, y_train"),
        (loop("loss = one_step(net, X_train[i:i+9], target=y_train[i:i+9])"), "X_train, y_train"),
    ],
)  # fmt: skip
def test_arrays_that_training_slices_get_one_name(cut: Cut, train: str, arrays: str) -> None:
    result = cut(IMPORTS, DATA, MODEL, HELPERS, TRAIN + train, TEST)
    assert result.manifest.names.train_loader == "nbfed_train"
    assert f"\nnbfed_train = {arrays}\n" in result.text
    assert f"# %% train\n{arrays} = nbfed_train\n" in result.text


def test_arrays_of_the_test(cut: Cut) -> None:
    both = "#| federate: test\nseen = net(X_train)\n" + TEST.split("\n", 1)[1]
    train = TRAIN + loop("loss = criterion(net(X_train[i:i+32]), y_train[i:i+32])")
    for test in (TEST, both):
        result = cut(IMPORTS, DATA, MODEL, HELPERS, train, test)
        assert result.manifest.names.test_loader == "nbfed_test"
        assert "# %% test\nX_test, y_test = nbfed_test\n" in result.text


@pytest.mark.parametrize(
    ("data", "train", "loader"),
    [
        ("train_loader = DataLoader(X_train)", "for xb, yb in train_loader:\n    " + LOSS, "train_loader"),
        ("train_loader = DataLoader(X_train)", "xb, yb = next(iter(train_loader))\n" + LOSS, "train_loader"),
        ("batches = list(zip(X_train, y_train))", "for xb, yb in batches:\n    " + LOSS, "batches"),
        ("batches = [(X_train[:9], y_train[:9])]", "for k, (xb, yb) in enumerate(batches):\n    " + LOSS,
         "batches"),
    ],
)  # fmt: skip
def test_what_is_iterated_stays_what_it_is(cut: Cut, data: str, train: str, loader: str) -> None:
    result = cut(IMPORTS, f"{DATA}\n{data}", MODEL, HELPERS, TRAIN + train, TEST)
    assert result.manifest.names.train_loader == loader
    assert "nbfed_train" not in result.text


@pytest.mark.parametrize(
    "train",
    [
        "loss = net(fetch()).sum()",
        loop("loss = criterion(net(torch.randn(3, 2)), torch.ones(3))"),
        loop("loss = criterion(net(X_train, other, X_test, weights), y_train)"),
    ],
)
def test_what_cannot_be_told_has_no_name(cut: Cut, train: str) -> None:
    result = cut(IMPORTS, DATA, MODEL, HELPERS, TRAIN + train, TEST)
    assert result.manifest.names.train_loader is None
    assert "nbfed_train" not in result.text
