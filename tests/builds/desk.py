"""A desk from which images are built: notebook, lock of tiny wheels, base image, cache, signing key."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from notebook_federator import api, locking, settling
from notebook_federator.image.registry.client import Registry
from notebook_federator.image.shapes import CONFIG, LAYER, MANIFEST, BytesContent, Descriptor, digest_of
from notebook_federator.locking import Lock, Target

sys.path.insert(0, str(Path(__file__).parents[1] / "image"))

from small_wheels import text, write_wheel

OFFICIAL = ("PATH=/usr/local/bin:/usr/bin:/bin", "PYTHON_VERSION=3.11.9")
Finished = subprocess.CompletedProcess[str]
EMPTY_LAYER = gzip.compress(bytes(1024), mtime=0)


@dataclass(frozen=True)
class Desk:
    """One author's folder; each has a cache and a key of its own."""

    folder: Path
    registry: str

    @property
    def notebook(self) -> Path:
        return self.folder / "study.ipynb"

    @property
    def lock(self) -> Path:
        return locking.path_beside(self.notebook)

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def build(self, *words: str, lock: bool = True) -> Finished:
        """Run `nbfed build` with JSON answers, and without a network beyond this machine."""
        own = ("--locked",) if lock else ()
        command = ("build", str(self.notebook), *own, *words, "--format", "json", "--progress", "json")
        return self.nbfed(*command)

    def nbfed(self, *words: str) -> Finished:
        """Run the command in this folder."""
        return subprocess.run(self._command(words), **self._around(), timeout=120, check=False)

    def _command(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "notebook_federator.cli", *words]

    def _around(self) -> dict[str, Any]:
        own = {
            "NBFED_CACHE": str(self.cache),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "NO_COLOR": "1",
        }
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return {"cwd": self.folder, "env": os.environ | own, **pipes}

    def interrupted(self, *words: str) -> Finished:
        """Start a build, and press Ctrl-C as soon as a layer is being made."""
        command = ("build", str(self.notebook), "--locked", *words, "--format", "json", "--progress", "json")
        process = subprocess.Popen(self._command(command), **self._around())
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, first + rest)

    def pushed(self, *words: str) -> dict[str, Any]:
        """Build and push; the answer's data."""
        return data(self.build("--push", f"{self.registry}/demo", *words))

    def edit(self, old: str, new: str) -> None:
        """Change the notebook by one line."""
        document = nbformat.read(self.notebook, as_version=4)
        cell = next(cell for cell in document.cells if old in cell.source)
        cell.source = cell.source.replace(old, new)
        nbformat.write(document, self.notebook)


def data(found: Finished) -> dict[str, Any]:
    """The data of a good answer."""
    assert found.returncode == 0, found.stdout + found.stderr
    value: dict[str, Any] = json.loads(found.stdout)["data"]
    return value


def refusal(found: Finished) -> tuple[int, str]:
    """Exit code and error code of a refusal that says what to do next."""
    answer = json.loads(found.stdout)
    assert answer["exit_code"] == found.returncode
    assert answer["hint"], answer
    return found.returncode, answer["error_code"]


def push_base(address: str, name: str = "python", environment: Sequence[str] = OFFICIAL) -> str:
    """A base image that says it has Python 3.11, as the official ones do; its reference by digest."""
    registry, layer = Registry(address), EMPTY_LAYER
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": list(environment)},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(gzip.decompress(layer))]},
        }
    ).encode()
    described = [
        Descriptor(CONFIG, digest_of(config), len(config)),
        Descriptor(LAYER, digest_of(layer), len(layer)),
    ]
    for descriptor, content in zip(described, (config, layer), strict=True):
        registry.push_blob(name, descriptor, BytesContent(content))
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described[0].to_json(),
            "layers": [described[1].to_json()],
        }
    ).encode()
    return f"{address}/{name}@{registry.push_manifest(name, '3.11', manifest, MANIFEST)}"


def write_lock(desk: Desk, base: str, size: int = 100_000) -> None:
    """A lock that fits the notebook, but names two wheels of this size (bytes) instead of gigabytes."""
    checked = api.check(desk.notebook)
    assert checked.slice is not None
    folder = desk.folder / "wheels"
    folder.mkdir()
    wheels = tuple(write_wheel(folder, name, {f"{name}.py": text(size)}) for name in ("alpha", "beta"))
    needs = settling.needs_of(checked.slice.manifest)
    target = Target("3.11", "linux/amd64", "cpu", base)
    roles = {"server": ("beta",), "client": ("alpha", "beta")}
    locking.write(Lock(target, needs, wheels, roles), desk.lock)  # type: ignore[arg-type]
