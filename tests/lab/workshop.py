"""The study of all experiments: a small torch notebook, its slice, and data for any number of sites.

Deterministic; the model has a megabyte, so that there is a middle of a download; ``pause`` slows an
epoch down, ``slow_reading`` the reading of the data.
"""

from __future__ import annotations

import dataclasses
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import tomli_w
from nbfed_site.contracts import Manifest
from notebook_federator import api, slicing
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.federation.federation_settings import FederationSettings, Images, RoundWishes, plain

from ..end_to_end.cells import TEST

CELLS = (
    "epochs = 1\npause = 0.0\nslow_reading = 0.0\n",
    """
import os
import time
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
""",
    """
def load_data(data_path):
    time.sleep(slow_reading)
    count = int(open(os.path.join(data_path, "count.txt")).read())
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, 4, generator=generator)
    y = (x.sum(1) + count % 3 > 0).long()
    train, test = TensorDataset(x, y), TensorDataset(x[: count // 2], y[: count // 2])
    loaders = DataLoader(train, batch_size=8, shuffle=True), None, DataLoader(test, batch_size=8)
    return (*loaders, {"trainset": count, "valset": 0, "testset": count // 2})
""",
    """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 2))
        self.ballast = nn.Parameter(torch.randn(250_000))

    def forward(self, x):
        return self.layers(x) + self.ballast.mean()
""",
    """
def train(net, trainloader, valloader, epochs):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, weight_decay=0.01)
    for epoch in range(epochs):
        time.sleep(pause)
        for x, y in trainloader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
""",
    TEST,
)
MODEL_BYTES = 1_000_000
ROUNDS = 3


@dataclass(frozen=True)
class Workshop:
    """One slice on disk, another one (of a changed notebook) beside it, and a library for wrong clocks."""

    folder: Path
    manifest: Manifest
    clock: Path

    @classmethod
    def make(cls, folder: Path) -> Workshop:
        """Cut both notebooks."""
        made = []
        for name, cells in (
            ("study", CELLS),
            ("changed", (*CELLS[:-2], CELLS[-2].replace("0.05", "0.5"), CELLS[-1])),
        ):
            document = nbformat.v4.new_notebook()
            document.cells = [nbformat.v4.new_code_cell(text.strip()) for text in cells]
            document.cells[0].metadata["tags"] = ["parameters"]
            nbformat.write(document, folder / f"{name}.ipynb")
            made.append(api.check(folder / f"{name}.ipynb").slice)
            slicing.write(made[-1], folder / name)
        for place in range(3):
            (folder / f"data-{place}").mkdir()
            (folder / f"data-{place}/count.txt").write_text(str(40 + 10 * place))
        clock = folder / "clock.so"
        source = str(Path(__file__).with_name("clock.c"))
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(clock), source, "-ldl"], check=True)
        return cls(folder, made[0].manifest, clock)

    @property
    def slice(self) -> Path:
        """What lies in the client image."""
        return self.folder / "study"

    @property
    def other_slice(self) -> Path:
        """What lies in the image of the changed notebook."""
        return self.folder / "changed"

    def data(self, place: int) -> Path:
        """The data of the site at ``place`` (0-based)."""
        return self.folder / f"data-{place}"

    def federation(self, folder: Path, server: str, **wishes: Any) -> FederationFolder:
        """A new federation for the study; ``wishes`` are fields of its rounds."""
        name = "registry.example.org/lab/study@sha256:"
        images = Images(
            name + "a" * 64, name + "b" * 64, self.manifest.notebook_digest, self.manifest.slice_digest
        )
        rounds = RoundWishes(**{"rounds": ROUNDS, "epochs": 2, "seed": 5, **wishes})
        settings = dataclasses.replace(FederationSettings("study", server, images), rounds=rounds)
        made = FederationFolder(folder)
        made.create(settings, tomli_w.dumps(plain(settings)).encode(), self.manifest, datetime.now(UTC))
        return made
