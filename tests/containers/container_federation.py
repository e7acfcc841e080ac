"""A federation of containers from what `nbfed` writes: the server from its folder, each site from its kit."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from container_engines import UID, Engine, Finished
from kit_sites import Site, received

HOST = "federation.test"
PORT = 9092
PYTHON = "/app/venv/bin/python3"
MOUNTED = re.compile(r"C /etc|[AC] /(data|scratch|kit)")
SERVER = (PYTHON, "-I", "-m", "notebook_federator.federation.serving")


@dataclass(frozen=True, slots=True)
class Images:
    """The names of a notebook's two images in a registry; ``layers``: bytes of the client's, by title."""

    server: str
    client: str
    notebook: Path
    layers: Mapping[str, int]


@dataclass(slots=True)
class Federation:
    """Containers of one engine; leaving the ``with`` block removes them, their volumes and their network.

    Attributes:
        folder: that any user may enter.
        nbfed: runs the command and gives the data of its envelope.
        wishes: further words of ``nbfed federation init``.
        data: site -> the folder that is its ``/data``; None where each takes its share of the notebook's own.
    """

    engine: Engine
    images: Images
    folder: Path
    nbfed: Callable[..., Any]
    wishes: Sequence[str]
    data: Mapping[str, Path | None]
    sites: dict[str, Site] = field(default_factory=dict)
    server: str = ""

    def __enter__(self) -> Self:
        self.engine.pull(self.images.server)
        self.engine("network", "create", "--internal", self.network)
        where = ("--folder", self.home)
        address = ("--server", f"https://{HOST}:{PORT}", "--out", self.home)
        self.nbfed("federation", "init", self.images.notebook, *address, *self.wishes)
        self.nbfed("federation", "add-site", *self.data, *where)
        for name in self.data:
            self.nbfed("kit", name, *where)
            shutil.move(self.home / "kits" / name, self.folder / name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note("\n".join(f"--- {name}\n{self.said(name)}" for name in self.containers))
        self.engine("rm", "--force", *self.containers.values(), check=False)
        for site in self.sites.values():
            self.engine("volume", "rm", "--force", site.name, check=False)
        self.engine("network", "rm", self.network, check=False)

    @property
    def home(self) -> Path:
        """The federation's folder."""
        return self.folder / "federation"

    @property
    def run(self) -> Path:
        """The folder of its first run."""
        return self.home / "runs" / "1"

    @property
    def network(self) -> str:
        """Name of the network."""
        return f"nbfed-{self.folder.name}".lower().replace("_", "-")

    @property
    def containers(self) -> dict[str, str]:
        """Of the server and of each site: name in the test -> in the engine."""
        found = {name: site.name for name, site in self.sites.items()}
        return {"server": self.server, **found} if self.server else found

    def serve(self) -> None:
        """Start the server on the federation's folder, and wait until it answers."""
        give_away(self.home)
        options = ("--volume", f"{self.home}:/scratch", "--network", self.network)
        self.server = self.engine.start(self.images.server, "serve", options=options)
        found = self.engine("inspect", "--format", "{{json .NetworkSettings}}", self.server)
        address = json.loads(found.stdout)["Networks"][self.network]["IPAddress"]
        wait_until_healthy(self.engine, self.server, SERVER)
        for place, (name, data) in enumerate(self.data.items(), 1):
            own = ("--network", self.network, "--add-host", f"{HOST}:{address}", "--env", "OMP_NUM_THREADS=1")
            share = f"{place}/{len(self.data)}" if data is None else ""
            self.sites[name] = received(self.engine, self.folder / name, data, own, share)

    def ended(self, name: str, seconds: float = 240) -> int:
        """The exit code of a container, once it has ended."""
        return int(self.engine("wait", self.containers[name], timeout=seconds).stdout)

    def said(self, name: str) -> str:
        """All output of a container."""
        found = self.engine("logs", self.containers[name], check=False)
        return found.stdout + found.stderr

    def changed_files(self, name: str) -> list[str]:
        """What differs from the image in a container, but for where the engine mounts something."""
        lines = self.engine("diff", self.containers[name]).stdout.splitlines()
        return [line for line in lines if not MOUNTED.fullmatch(line)]


def wait_until_healthy(engine: Engine, container: str, program: Sequence[str], seconds: float = 120) -> None:
    """Wait until a server says that it answers."""
    until = time.monotonic() + seconds
    while (found := engine("exec", container, *program, "healthy", check=False)).returncode != 0:
        assert time.monotonic() < until, f"not healthy after {seconds} s: {found.stdout}{found.stderr}"
        time.sleep(0.3)


def unwell(doctor: Finished) -> dict[str, str]:
    """What a finished ``doctor --format json`` found that is not ok, and its advice."""
    assert doctor.stdout, doctor.stderr
    findings = json.loads(doctor.stdout)["data"]["findings"]
    assert len(findings) > 10
    odd = [item for item in findings if item["level"] != "ok" and item["what"] != "kit: none"]
    return {item["what"]: item["advice"] for item in odd}


def give_away(path: Path) -> None:
    """Let the containers' user own a folder with all in it; where we may not, let everybody use it."""
    for found in (path, *path.rglob("*")):
        if os.getuid() == 0:
            os.chown(found, UID, UID)
        else:
            found.chmod(found.stat().st_mode | 0o066 | (0o011 if found.is_dir() else 0))
