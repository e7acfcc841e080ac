"""Real processes: the nbfed command, a small notebook whose training can be slowed down or broken."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from .cells import DATA, IMPORTS, MODEL, PARAMETERS, TEST, TRAIN

ROUNDS = ("--rounds", "3", "--epochs", "2", "--seed", "5")
NBFED = [sys.executable, "-m", "notebook_federator.cli"]
MakeSite = Callable[..., Path]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the slow notebook and data for three sites, shared by all tests."""
    folder = tmp_path_factory.mktemp("workshop")
    document = nbformat.v4.new_notebook()
    texts = (PARAMETERS, IMPORTS, DATA, MODEL, TRAIN, TEST)
    document.cells = [nbformat.v4.new_code_cell(text.strip()) for text in texts]
    document.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(document, folder / "slow.ipynb")
    for place, name in enumerate("abc"):
        write_site(folder / name, 40 + 10 * place, place - 1)
    return folder


def write_site(folder: Path, count: int = 60, shift: float = 0.0, one_class: bool = False) -> Path:
    """Make a data folder for the slow notebook."""
    folder.mkdir(parents=True)
    (folder / "count.txt").write_text(str(count))
    (folder / "shift.txt").write_text(str(shift))
    if one_class:
        (folder / "one_class.txt").touch()
    return folder


@pytest.fixture
def slow_notebook(workshop: Path) -> Path:
    """A notebook in function form; ``--set pause=1`` slows it down, ``--set break_at=...`` breaks it."""
    return workshop / "slow.ipynb"


@pytest.fixture
def make_site(tmp_path: Path) -> MakeSite:
    """Make a further data folder for the slow notebook: name, then as :func:`write_site`."""
    return lambda name, **about: write_site(tmp_path / "data" / name, **about)


@pytest.fixture
def three_sites(workshop: Path) -> list[str]:
    """Options for three sites with data of different size and shift."""
    return [word for name in "abc" for word in ("--site", f"{name}={workshop / name}")]


@dataclass
class Nbfed:
    """Runs the command in ``folder`` and waits, or follows its events while it runs."""

    folder: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def __call__(self, *words: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*NBFED, *words],
            cwd=self.folder,
            env=os.environ | {"NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        found = self(*words, "--format", "json")
        assert found.returncode == code, found.stdout + found.stderr
        envelope: dict[str, Any] = json.loads(found.stdout)
        assert envelope["exit_code"] == code
        return envelope

    def follow(self, *words: str) -> "Following":
        process = subprocess.Popen(
            [*NBFED, *words, "--progress", "json"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return Following(process)


@dataclass
class Following:
    """A run under way, read event by event."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    def lines(self) -> Iterator[dict[str, Any]]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("{"):
                event = json.loads(line)
                self.events.append(event)
                yield event

    def until(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """The next event of ``kind`` with these values."""
        for event in self.lines():
            if (event["event"], event["source"]) == (kind, "server") and all(
                event.get(key) == value for key, value in wanted.items()
            ):
                return event
        raise AssertionError(f"the run ended without {kind} {wanted}: {self.events[-5:]}")

    def pid(self, source: str) -> int:
        found = [event for event in self.events if event["event"] == "process" and event["source"] == source]
        return int(found[-1]["pid"])

    def kill(self, source: str) -> None:
        os.kill(self.pid(source), signal.SIGKILL)

    def end(self) -> int:
        """Wait for the end; the exit code. No child process may be left."""
        for _ in self.lines():
            pass
        code = self.process.wait(60)
        children = [event["pid"] for event in self.events if event["event"] == "process"]
        until = time.monotonic() + 10
        while time.monotonic() < until and any(psutil.pid_exists(pid) for pid in children):
            time.sleep(0.1)
        assert not [pid for pid in children if psutil.pid_exists(pid)]
        return code

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What the server told."""
        return [event for event in self.events if (event["event"], event["source"]) == (kind, "server")]


@pytest.fixture
def nbfed(tmp_path: Path) -> Iterator[Nbfed]:
    command = Nbfed(tmp_path)
    yield command
    for process in command.running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def undisturbed(workshop: Path) -> str:
    """Digest of the final model of a run without any fault."""
    sites = [word for name in "abc" for word in ("--site", f"{name}={workshop / name}")]
    words = ["run", "slow.ipynb", *sites, *ROUNDS, "--out", "undisturbed"]
    data = Nbfed(workshop).json(*words)["data"]
    assert data["state"] == "completed"
    return final_model(workshop / "undisturbed")


def final_model(run: Path) -> str:
    """Digest of the last global model of a run."""
    return hashlib.sha256((run / "models/last.safetensors").read_bytes()).hexdigest()


@pytest.fixture
def digest_of() -> Callable[[Path], str]:
    return final_model
