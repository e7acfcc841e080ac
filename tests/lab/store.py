"""A registry under observation: Debian's, behind TLS, and the way that leads to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from notebook_federator.federation.authority import Authority

from .laboratory import free_port, mount, unmount
from .parts import Hang
from .relay import Relay

NAME = "registry"
DISK_MEGABYTES = 64
STRIKE_SECONDS = 60.0


def why_not() -> str:
    """Why this machine cannot have one; empty where it can."""
    found = shutil.which("docker-registry")
    return "" if found else "no registry here (Debian: apt-get install docker-registry)"


@dataclass
class Store:
    """A registry in ``folder``, and the way to it through ``host``, an address of this machine.

    It is what a fault strikes: the laboratory of its experiments, and the only part of it.

    Attributes:
        small: its blobs lie on a small disk of their own, which only root can make.
        secure: whether it wants TLS.
        port: its own, which the way leads to.
        blobs: digests of what an experiment put into it, by a name.
    """

    folder: Path
    host: str = "127.0.0.1"
    small: bool = False
    secure: bool = True
    blobs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        assert not self.small or mount(self.disk(), DISK_MEGABYTES), "no small disk can be mounted here"
        self.authority = Authority.make("registry", datetime.now(UTC))
        self.ca = self.folder / "ca.crt"
        self.ca.write_bytes(self.authority.pair.certificate)
        self.port = free_port()
        self.way = Relay(host=self.host, target=("127.0.0.1", self.port))
        self.ways = {NAME: self.way}
        self._process: subprocess.Popen[bytes] | None = None
        self.certify(self.authority, datetime.now(UTC))
        self.start()

    @property
    def address(self) -> str:
        """``HOST:PORT``, as engines and authors know it."""
        return f"{self.host}:{self.way.port}"

    def part(self, name: str = NAME) -> Store:
        """What a fault of this name strikes."""
        return self

    def disk(self, name: str = NAME) -> Path:
        """The only folder that it writes to."""
        return self.folder / "blobs"

    def certify(self, authority: Authority, when: datetime) -> None:
        """Give it a certificate of ``authority``, issued ``when``; it takes effect with the next start."""
        pair = authority.server(self.host, when)
        (self.folder / "server.crt").write_bytes(pair.certificate)
        (self.folder / "server.key").write_bytes(pair.key)

    def again_with(self, authority: Authority, when: datetime) -> None:
        """Start it again, with another certificate."""
        self.kill()
        self.certify(authority, when)
        self.start()

    def bytes_of(self, digest: str) -> Path:
        """Where it keeps what has a digest."""
        name = digest.partition(":")[2]
        return self.disk() / f"docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"

    # -- its process ------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Store:
        """Start it, or start it again, and wait until it listens."""
        tls = {"certificate": str(self.folder / "server.crt"), "key": str(self.folder / "server.key")}
        settings = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.disk())}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{self.port}", **({"tls": tls} if self.secure else {})},
        }
        path = self.folder / "registry.yml"
        path.write_text(json.dumps(settings))  # JSON is YAML
        with (self.folder / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(["docker-registry", "serve", str(path)], stdout=log, stderr=log)
        until = time.monotonic() + STRIKE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if time.monotonic() > until:
                    raise Hang(f"no registry: {(self.folder / 'registry.log').read_text()[-1000:]}") from None
                time.sleep(0.02)

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """In good order."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it stand still."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None and self.alive:
            os.kill(self._process.pid, number)

    def _end(self, number: int) -> None:
        self._signal(number)
        if self._process is not None:
            self._process.wait(20)

    # -- the moment -------------------------------------------------------------------------------

    def when(self, direction: str, count: int, act: Callable[[Store], object]) -> threading.Event:
        """Call ``act`` when so many more bytes have gone ``up`` or ``down``; set when that is done."""
        struck = threading.Event()

        def hit() -> None:
            act(self)
            struck.set()

        self.way.when(direction, getattr(self.way, direction) + count, hit)
        return struck

    def close(self) -> None:
        """End all."""
        self.thaw()
        self.kill()
        self.way.close()
        if self.small:
            unmount(self.disk())
