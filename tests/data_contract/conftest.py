"""Notebooks around one data block, cut and drafted."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import nbformat
import pytest
from notebook_federator import check
from notebook_federator.drafting import Draft, draft_contract

IMPORTS = """
%pip install torchvision==0.20.0
import csv, glob, gzip, os
from os.path import join
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder
"""
REST = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x):
        return self.layers(x)

def train(net, trainloader, valloader, epochs):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(epochs):
        for x, y in trainloader:
            optimizer.zero_grad()
            nn.CrossEntropyLoss()(net(x), y).backward()
            optimizer.step()

def test(net, testloader):
    right = sum((net(x).argmax(1) == y).sum().item() for x, y in testloader)
    return 0.0, right / len(testloader.dataset)
"""

MakeDraft = Callable[..., Draft]


def _write(path: Path, *cells: str) -> Path:
    made = [nbformat.v4.new_code_cell(dedent(cell).strip("\n")) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


@pytest.fixture
def rest() -> str:
    """Model, train and test of a small classifier."""
    return REST


@pytest.fixture
def write_notebook() -> Callable[..., Path]:
    """Writes a notebook of these cells to a path."""
    return _write


@pytest.fixture
def draft(tmp_path: Path) -> MakeDraft:
    """The draft of a notebook whose load_data holds ``body``; ``before`` stands above it."""

    def make(body: str, before: str = "", rest: str = REST, min_examples: int = 10) -> Draft:
        lines = dedent(body).strip("\n").splitlines()
        load = "\n".join(["def load_data(data_path):", *(f"    {line}" for line in lines)])
        load += "\n    return trainloader, valloader, testloader, num_examples"
        load = "trainloader = valloader = testloader = num_examples = None\n" + load
        path = _write(tmp_path / "study.ipynb", IMPORTS, before, load, rest)
        checked = check(path)
        assert checked.slice, [finding.message for finding in checked.findings]
        return draft_contract(checked.slice, min_examples)

    return make
