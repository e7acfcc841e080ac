"""Small slices written by hand: each section is one notebook cell, numbered from 1."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from nbfed_site.contracts import (
    LineSpan,
    Manifest,
    Names,
    Parameter,
    Phase,
    Scalar,
    Section,
    canonical_json,
    digest,
    plain,
)
from nbfed_site.program import Partition, Program, Progress

FUNCTION_NAMES = Names("net", "trainloader", "valloader", "testloader", "num_examples", "nbfed_test_result")
PARAMETERS = (Parameter("data_path", "data_path", None), Parameter("epochs", "epochs", 1))

SETUP = """
data_path = None
epochs = 1
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

def blobs(size, seed):
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(size) % 2
    return TensorDataset(torch.randn(size, 4, generator=draw) + 2.0 * y[:, None] - 1.0, y)

def load_data(data_path):
    sets = blobs(64, 1), blobs(16, 2), blobs(40, 3)
    numbers = dict(zip(("trainset", "valset", "testset"), map(len, sets)))
    return [DataLoader(s, batch_size=16, shuffle=k == 0) for k, s in enumerate(sets)] + [numbers]

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))

    def forward(self, x):
        return self.layers(x)

def train(net, trainloader, valloader, epochs):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net.train()
    for _ in range(epochs):
        for x, y in trainloader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

def test(net, testloader):
    net.eval()
    loss = correct = 0
    with torch.no_grad():
        for x, y in testloader:
            out = net(x)
            loss += torch.nn.functional.cross_entropy(out, y, reduction="sum").item()
            correct += (out.argmax(1) == y).sum().item()
    return loss / len(testloader.dataset), correct / len(testloader.dataset)
"""
SECTIONS: Mapping[Phase, str] = {
    "setup": SETUP,
    "data": "trainloader, valloader, testloader, num_examples = load_data(data_path)",
    "model": "net = Model()",
    "train": "train(net, trainloader, valloader, epochs)",
    "test": "nbfed_test_result = test(net, testloader)",
}

MakeSlice = Callable[..., Path]
MakeProgram = Callable[..., Program]


@pytest.fixture
def make_slice(tmp_path: Path) -> MakeSlice:
    """Writes a slice folder; sections given replace those of a small torch program."""

    def make(
        names: Names = FUNCTION_NAMES,
        parameters: tuple[Parameter, ...] = PARAMETERS,
        modules: Mapping[str, str] = {},
        **sections: str,
    ) -> Path:
        lines: list[str] = []
        parts, spans = [], []
        for cell, (phase, text) in enumerate({**SECTIONS, **sections}.items(), start=1):
            lines.append(f"# %% {phase}")
            body = dedent(text).strip("\n").split("\n")
            parts.append(Section(phase, len(lines) + 1, len(lines) + len(body)))
            spans.append(LineSpan(len(lines) + 1, cell, 1, len(body)))
            lines += body
        code = ("\n".join(lines) + "\n").encode()
        folder = tmp_path / f"slice-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, text in modules.items():
            (folder / name).write_text(text)
        manifest = Manifest(
            notebook="test.ipynb",
            notebook_digest=digest(b"notebook"),
            slice_digest=digest(code),
            form="function",
            framework="torch",
            sections=tuple(parts),
            spans=tuple(spans),
            names=names,
            parameters=parameters,
            modules={name: digest(text.encode()) for name, text in modules.items()},
        )
        (folder / "slice.py").write_bytes(code)
        (folder / "manifest.json").write_bytes(canonical_json(plain(manifest)))
        return folder

    return make


@pytest.fixture
def make_program(make_slice: MakeSlice) -> MakeProgram:
    """A program over such a slice; ``reports`` collects its progress."""

    def make(
        given: Mapping[str, Scalar] = {},
        partition: Partition | None = None,
        reports: list[Progress] | None = None,
        **slice_parts: object,
    ) -> Program:
        seen: list[Progress] = [] if reports is None else reports
        return Program(make_slice(**slice_parts), given, partition, seen.append)

    return make
