"""A federation of containers: one server, its sites, TLS between them, and no way out of their network."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from authority import write_certificates
from container_engines import UID, Engine, Finished

HOST = "federation.test"
PORT = 9092
PYTHON = "/app/venv/bin/python3"
MOUNTED = re.compile(r"C /etc|[AC] /(data|scratch|tls(/authority\.pem)?)")
SITE = (PYTHON, "-I", "-m", "nbfed_site")
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
    """Containers of one engine; leaving the ``with`` block removes them and their network.

    Attributes:
        folder: what is mounted into the containers; any user may enter it.
        sites: name -> further words of the site's command ``up``.
        data: name -> folder that is the site's ``/data``.
    """

    engine: Engine
    images: Images
    folder: Path
    sites: Mapping[str, Sequence[str]]
    data: Mapping[str, Path] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    address: str = ""

    def __enter__(self) -> Self:
        for image in (self.images.server, self.images.client):
            self.engine.pull(image)
        self.engine("network", "create", "--internal", self.network)
        (self.folder / "tls").mkdir()
        write_certificates(self.folder / "tls", HOST)
        give_away(self.folder / "tls" / "server.key", 0o600)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note("\n".join(f"--- {name}\n{self.said(name)}" for name in self.containers))
        if self.containers:
            self.engine("rm", "--force", *self.containers.values(), check=False)
        self.engine("network", "rm", self.network, check=False)

    @property
    def network(self) -> str:
        """Name of the network."""
        return f"nbfed-{self.folder.name}".lower().replace("_", "-")

    @property
    def run(self) -> Path:
        """The run folder, as the server writes it."""
        return self.folder / "server" / "run"

    def serve(self, *words: str) -> None:
        """Make every site's key, start the server with the keys of all, and wait until it answers."""
        members = [word for name in self.sites for word in ("--site", f"{name}={self.key(name)}")]
        certificate = ("--certificate", "/tls/server.pem", "--certificate-key", "/tls/server.key")
        options = (*self.mounts("server"), "--network", self.network)
        self.containers["server"] = self.engine.start(
            self.images.server, "serve", *certificate, *members, *words, options=options
        )
        found = self.engine("inspect", "--format", "{{json .NetworkSettings}}", self.containers["server"])
        self.address = json.loads(found.stdout)["Networks"][self.network]["IPAddress"]
        wait_until_healthy(self.engine, self.containers["server"], SERVER)

    def key(self, name: str) -> str:
        """The line that the site's command ``key`` prints."""
        options = (*self.mounts(name), "--network", "none")
        return self.engine.run(self.images.client, "key", options=options).stdout.strip()

    def examined(self, name: str) -> dict[str, str]:
        """What the site's command ``doctor`` does not find well, with the server in reach."""
        words = ("doctor", *self.towards(), "--format", "json")
        return unwell(
            self.engine.run(self.images.client, *words, options=self.site_options(name), check=False)
        )

    def join(self, name: str) -> None:
        """Start a site, and wait until it is registered."""
        words = ("up", *self.towards(), "--name", name, *self.sites[name])
        self.containers[name] = self.engine.start(self.images.client, *words, options=self.site_options(name))
        wait_until_healthy(self.engine, self.containers[name], SITE)

    def towards(self) -> tuple[str, ...]:
        """How a site finds and trusts the server."""
        return ("--server", f"https://{HOST}:{PORT}", "--ca", "/tls/authority.pem")

    def site_options(self, name: str) -> tuple[str, ...]:
        """Mounts and network of a site; one thread, because all sites share this machine."""
        here = ("--network", self.network, "--add-host", f"{HOST}:{self.address}")
        return (*self.mounts(name), *here, "--env", "OMP_NUM_THREADS=1")

    def mounts(self, name: str) -> tuple[str, ...]:
        """``/scratch`` of a container, kept from one to the next; certificates; a site's data."""
        scratch = self.folder / name
        if not scratch.exists():
            scratch.mkdir()
            give_away(scratch, 0o700)
        secret = "tls" if name == "server" else "tls/authority.pem"
        found = ("-v", f"{scratch}:/scratch", "-v", f"{self.folder / secret}:/{secret}:ro")
        return (*found, "-v", f"{self.data[name]}:/data:ro") if name in self.data else found

    def ended(self, name: str, seconds: float = 180) -> int:
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
    """Wait until a server says that it answers, or a site that it is registered."""
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


def give_away(path: Path, mode: int) -> None:
    """Let the containers' user own a file; where we may not, let everybody use it."""
    if os.getuid() == 0:
        os.chown(path, UID, UID)
        path.chmod(mode)
    else:
        path.chmod(mode | 0o066 | (0o011 if path.is_dir() else 0))
