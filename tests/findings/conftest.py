"""Builds notebooks from the plain texts that tests/fixtures/make_notebooks.py reads."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from notebook_federator.analysis import analyse
from notebook_federator.findings import Finding, examine
from notebook_federator.notebook import Notebook, read
from notebook_federator.slicing import cut

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

SOUND = {
    "imports": """\
import os
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)""",
    "data": """\
def load_data(data_path):
    x = torch.tensor(np.loadtxt(os.path.join(data_path, "x.csv")), dtype=torch.float32)
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=10)
    return loader, loader, loader, {"trainset": len(x), "valset": len(x), "testset": len(x)}""",
    "model": """\
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x)""",
    "train": """\
def train(net, trainloader, valloader, epochs):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(epochs):
        for x, y in trainloader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()""",
    "test": """\
def test(net, testloader):
    correct = total = 0
    for x, y in testloader:
        correct += (net(x).argmax(1) == y).sum().item()
        total += len(y)
    accuracy = correct / total
    loss = 1 - accuracy
    return loss, accuracy""",
    "aggregate": "strategy = None",
}


def spoiled(before: str = "", after: str = "", **cells: str) -> str:
    """The text of a sound notebook with some cells replaced, and more at its beginning or end.

    An empty replacement leaves the cell out.
    """
    parts = [before, *(SOUND | cells).values(), after]
    return "\n".join(f"=== code\n{part}" for part in parts if part)


@pytest.fixture(scope="session")
def maker() -> ModuleType:
    """The script that writes the fixture notebooks."""
    spec = importlib.util.spec_from_file_location("make_notebooks", FIXTURES / "make_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build(maker: ModuleType, tmp_path: Path) -> Callable[[str], Notebook]:
    """Turns a text with ``=== code`` lines into a notebook in a folder of its own."""

    def build_notebook(text: str) -> Notebook:
        path = tmp_path / "notebook.ipynb"
        path.write_bytes(maker.notebook_bytes(text))
        return read(path)

    return build_notebook


@pytest.fixture
def spoil(build: Callable[[str], Notebook]) -> Callable[..., Notebook]:
    """Builds a sound notebook, spoiled as :func:`spoiled` says."""
    return lambda **changes: build(spoiled(**changes))


@pytest.fixture
def find(spoil: Callable[..., Notebook]) -> Callable[..., tuple[Finding, ...]]:
    """The findings of a sound notebook, spoiled as :func:`spoiled` says."""

    def find_in(sites: int | None = None, **changes: str) -> tuple[Finding, ...]:
        notebook = spoil(**changes)
        return examine(notebook, analyse(notebook), sites, cut)

    return find_in
