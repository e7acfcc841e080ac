"""Commands of a site, called in this process and undone after."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nbfed_site import __main__ as program
from nbfed_site.contracts import LineSpan, Manifest, Names, Parameter, Section, canonical_json, digest, plain

CODE = b"""data_path = ""
rate = 0.1
import json
try:
    import not_installed_anywhere
except ImportError:
    pass
"""


TRAINS = b"""data_path = ""
rate = 0.1
import torch
from torch.utils.data import DataLoader, TensorDataset
def blobs(size):
    y = torch.arange(size) % 2
    return DataLoader(TensorDataset(torch.randn(size, 4) + y[:, None], y), batch_size=16)
def train(net):
    for x, y in loader:
        torch.nn.functional.cross_entropy(net(x), y).backward()
def test(net):
    correct = sum((net(x).argmax(1) == y).sum().item() for x, y in held)
    return 0.5, correct / len(held.dataset)
loader, valid, held = blobs(64), blobs(16), blobs(40)
net = torch.nn.Linear(4, 2)
train(net)
result = test(net)
"""


def write_training(folder: Path, code: bytes = TRAINS) -> None:
    """A slice of five cells that trains a small model."""
    phases = {"setup": (1, 13), "data": (14, 14), "model": (15, 15), "train": (16, 16), "test": (17, 17)}
    _write(
        folder,
        code,
        sections=tuple(Section(phase, *lines) for phase, lines in phases.items()),
        spans=tuple(
            LineSpan(first, cell, 1, last - first + 1)
            for cell, (first, last) in enumerate(phases.values(), start=1)
        ),
        names=Names("net", "loader", "valid", "held", None, "result"),
    )


@pytest.fixture
def slice_folder(tmp_path: Path) -> Path:
    """A slice that reads a data folder."""
    folder = tmp_path / "slice"
    folder.mkdir()
    write_slice(folder, CODE)
    return folder


def write_slice(folder: Path, code: bytes) -> None:
    """A slice of one cell that is set up, and no more."""
    _write(folder, code, (Section("setup", 1, 9),), (LineSpan(1, 1, 1, 9),), Names("net"))


def _write(
    folder: Path, code: bytes, sections: tuple[Section, ...], spans: tuple[LineSpan, ...], names: Names
) -> None:
    manifest = Manifest(
        notebook="test.ipynb",
        notebook_digest=digest(b"notebook"),
        slice_digest=digest(code),
        form="function",
        framework="torch",
        sections=sections,
        spans=spans,
        names=names,
        parameters=(Parameter("data_path", "data_path", None), Parameter("rate", "other", 0.1)),
    )
    (folder / "slice.py").write_bytes(code)
    (folder / "manifest.json").write_bytes(canonical_json(plain(manifest)))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


Site = Callable[..., int]


@pytest.fixture
def site(scratch: Path, slice_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Calls ``nbfed-site``: words, then NBFED_* variables in small letters; returns the exit code."""
    handlers = [
        (number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    ]
    path, before = list(sys.path), dict(os.environ)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    monkeypatch.chdir(Path.cwd())

    def call(*words: str, **variables: object) -> int:
        if scratch.is_dir():
            (scratch / "lock").unlink(missing_ok=True)  # of a process that has ended
        os.environ["NBFED_SCRATCH"], os.environ["NBFED_SLICE"] = str(scratch), str(slice_folder)
        os.environ.update({f"NBFED_{name.upper()}": str(value) for name, value in variables.items()})
        return program.main(list(words))

    yield call
    os.environ.clear()
    os.environ.update(before)
    sys.path[:] = path
    for number, handler in handlers:
        signal.signal(number, handler)


@pytest.fixture
def told(site: Site, capfd: pytest.CaptureFixture[str]) -> Callable[..., list[tuple[str, str, str]]]:
    """What the doctor finds: level, what was looked at, advice."""

    def look(*words: str, **variables: object) -> list[tuple[str, str, str]]:
        capfd.readouterr()
        code = site("doctor", "--format", "json", *words, **variables)
        envelope = json.loads(capfd.readouterr().out)
        found = envelope["data"]["findings"]
        assert envelope["exit_code"] == code == int(any(item["level"] == "no" for item in found))
        return [(item["level"], item["what"], item["advice"]) for item in found]

    return look


@pytest.fixture
def findings(told: Callable[..., list[tuple[str, str, str]]]) -> Callable[..., dict[str, tuple[str, str]]]:
    """The same by the first words of what was looked at; the last of a kind counts."""

    def look(*words: str, **variables: object) -> dict[str, tuple[str, str]]:
        found = told(*words, **variables)
        return {what.split(":")[0]: (level, f"{what} {advice}") for level, what, advice in found}

    return look
