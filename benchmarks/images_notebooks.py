"""What the benchmark of images builds: notebooks, their locks and wheels; and `nbfed build` itself."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from debian_base import push_base
from images_servers import Registry
from notebook_federator import locking, templates
from notebook_federator.locking.files import local_path

NBFED = [sys.executable, "-m", "notebook_federator.cli"]
RATE = re.compile(r"lr=[0-9.e-]+")
MORE_IMPORTS = "import numpy as np\nimport pandas as pd\nfrom PIL import Image\n"
LOADED = "    biopsies = load_breast_cancer()\n"
USED = "    assert Image.MAX_IMAGE_PIXELS and pd.DataFrame(biopsies.data).notna().all(axis=None)\n"


@dataclass(frozen=True, slots=True)
class Run:
    """One `nbfed build`: seconds from the shell, peak resident memory in MB, what it says."""

    seconds: float
    peak_mb: float
    said: dict[str, Any]


@dataclass(slots=True)
class Bench:
    """Where everything is, and how `nbfed` is called."""

    folder: Path
    registry: Registry
    changes: int = 0

    @property
    def cache(self) -> Path:
        """The author's cache of wheels and layers."""
        return self.folder / "cache"

    def notebook(self, name: str) -> Path:
        """A notebook's file."""
        return self.folder / f"{name}.ipynb"

    def lock(self, name: str) -> Path:
        """A notebook's lock."""
        return locking.path_beside(self.notebook(name))

    def image(self, maker: str, name: str, role: str = "client") -> str:
        """What the image of a notebook is called; ``maker`` is ``nbfed`` or ``docker``."""
        return f"{self.registry.address}/{maker}:{role}-{name}"

    def nbfed(self, name: str, *options: str) -> Run:
        """`nbfed build` of one notebook in a process of its own, its bytecode kept as installations do."""
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        folders = {"NBFED_CACHE": "cache", "UV_CACHE_DIR": "uv", "XDG_CONFIG_HOME": "config"}
        folders |= {"PYTHONPYCACHEPREFIX": "bytecode"}
        own = {variable: str(self.folder / folder) for variable, folder in folders.items()}
        words = ["build", str(self.notebook(name)), *options, "--progress", "none", "--format", "json"]
        with (self.folder / "said.json").open("w+b") as out:
            began = time.perf_counter()
            process = subprocess.Popen([*NBFED, *words], stdout=out, env=kept | own)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            said = json.load(out)
        if process.returncode:
            raise SystemExit(f"nbfed {' '.join(words)}: {said['message']} {said['hint']}")
        return Run(seconds, usage.ru_maxrss / 1024, said["data"])

    def push(self, name: str) -> Run:
        """Build and push both images of a notebook."""
        return self.nbfed(name, "--push", f"{self.registry.address}/nbfed", "--tag", name, "--replace")

    def export(self, name: str) -> Path:
        """Docker's build contexts for a notebook."""
        folder = self.folder / f"context-{name}"
        self.nbfed(name, "--export-dockerfile", str(folder))
        return folder

    def empty_registry(self) -> None:
        """Have a registry that holds the base image alone."""
        self.registry.start_empty()
        push_base(self.base, label=True)

    @property
    def base(self) -> str:
        """The base image."""
        return f"{self.registry.address}/base:3.11"

    def change_line(self, name: str) -> None:
        """Change one line of a notebook to what it never was."""
        self.changes += 1
        path = self.notebook(name)
        path.write_text(RATE.sub(f"lr={self.changes}e-4", path.read_text(), count=1))


def write_notebooks(bench: Bench) -> None:
    """``first`` imports torch, scikit-learn, pandas and Pillow; ``next`` too; ``other`` torch and Pillow."""
    templates.write(bench.notebook("other"), "histology")
    first = templates.write(bench.notebook("first"), "breast-cancer")
    document = json.loads(first.read_text())
    for cell in document["cells"]:
        text = "".join(cell["source"]).replace("import numpy as np\n", MORE_IMPORTS)
        cell["source"] = text.replace(LOADED, LOADED + USED)
    first.write_text(json.dumps(document))
    assert RATE.search(first.read_text())
    shutil.copy(first, bench.notebook("next"))
    bench.change_line("next")


def settle_locks(bench: Bench, options: Iterable[str]) -> float:
    """Lock the notebooks; returns seconds from the shell for the first one, with an empty cache of uv."""
    words = ("--base", bench.base, "--torch", "cpu", *options)
    for name in ("first", "other"):
        bench.nbfed(name, "--export-dockerfile", str(bench.folder / "warm-up"), *words)
    bench.lock("first").unlink()
    shutil.rmtree(bench.folder / "uv", ignore_errors=True)
    locked = bench.nbfed("first", "--export-dockerfile", str(bench.folder / "warm-up"), *words)
    shutil.copy(bench.lock("first"), bench.lock("next"))
    return locked.seconds


def fetch_wheels(bench: Bench) -> Path:
    """All locked wheels in one folder."""
    folder = bench.folder / "wheels"
    folder.mkdir()
    for name in ("first", "other"):
        for wheel in locking.read(bench.lock(name)).packages:
            path, local = folder / wheel.filename, local_path(wheel.url)
            if local is not None:
                shutil.copy(local, path)
            elif not path.exists():
                path.write_bytes(urllib3.request("GET", wheel.url).data)
    return folder


def take_from(bench: Bench, index: str) -> None:
    """Let every lock name the wheels of ``index``."""
    for name in ("first", "next", "other"):
        lock = locking.read(bench.lock(name))
        packages = tuple(
            dataclasses.replace(wheel, url=f"{index}/files/{wheel.filename}") for wheel in lock.packages
        )
        locking.write(dataclasses.replace(lock, packages=packages), bench.lock(name))
