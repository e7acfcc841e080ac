"""One federation under observation: a server, sites, the ways between them, and what must hold in the end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from nbfed_site.keys import private_key
from nbfed_site.receipts import read_receipts
from notebook_federator import federating
from notebook_federator.comparing import compare
from notebook_federator.kits.issuing import Wishes, issue
from notebook_federator.ledger import Ledger

from .hosts import Network
from .parts import Nursery, Part
from .relay import Relay
from .workshop import Workshop

DISK_MEGABYTES = 24
SERVER = "notebook_federator.federation.serving"
SITE = "nbfed_site"
UNACKNOWLEDGED = "left the site and is not in the coordinator's ledger"  # the fault was in its way


@dataclass
class Laboratory:
    """A federation in ``folder``.

    Attributes:
        sites: by name; each has a way of its own in ``ways``.
        disks: parts whose folder is a small disk of its own, which only root can make.
        network: hosts that server and sites live on, without ways between them; else all are on this one.
        thief: somebody else with b's kit. overheard: what an impostor could read.
    """

    folder: Path
    workshop: Workshop
    nursery: Nursery | None
    wishes: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ("a", "b", "c")
    pauses: dict[str, float] = field(default_factory=dict)
    disks: tuple[str, ...] = ()
    network: Network | None = None
    thief: Part | None = None
    overheard: bytes = b""
    sites: dict[str, Part] = field(default_factory=dict)
    ways: dict[str, Relay] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.disks:
            assert mount(self.disk(name), DISK_MEGABYTES), "no small disk can be mounted here"
        self.port = free_port()
        address = self.network.address("server") if self.network else "127.0.0.1"
        wishes = {"quorum": "100%", "deadline": 40.0, "join_deadline": 60.0, **self.wishes}
        self.federation = self.workshop.federation(
            self.folder / "federation", f"https://{address}:{self.port}", **wishes
        )
        federating.add_sites(self.federation, self.names, datetime.now(UTC))
        for place, name in enumerate(self.names):
            issue(self.federation, name, Wishes(), datetime.now(UTC))
            self.ways[name] = Relay()
            self.sites[name] = self._site(name, place)
        self.server = Part(
            "server",
            self.nursery,
            SERVER,
            ["serve", str(self.federation.path), "--host", address, "--port", str(self.port),
             "--format", "json", "--grace", "0"],
            {},
            self.folder / "server.log",
            self.federation.run(1).events,
            host=self._host("server"),
        )  # fmt: skip

    def _site(self, name: str, place: int) -> Part:
        scratch = self.folder / name
        scratch.mkdir(exist_ok=True)
        words = ["up", "--format", "json", "--kit", str(self.federation.kit(name)), "--scratch", str(scratch),
                 "--slice", str(self.workshop.slice), "--data", str(self.workshop.data(place)),
                 "--give-up", "60", "--set", f"pause={self.pauses.get(name, 0.15)}"]  # fmt: skip
        environment = {} if self.network else {"HTTPS_PROXY": self.ways[name].address, "NO_PROXY": ""}
        log, events = self.folder / f"{name}.log", scratch / "events.jsonl"
        return Part(name, self.nursery, SITE, words, environment, log, events, host=self._host(name))

    def _host(self, name: str) -> str:
        return self.network.namespace(name) if self.network else ""

    def start(self) -> None:
        """Start the server and all sites; a site that fails is started again, as its kit wants it."""
        self.server.start()
        for site in self.sites.values():
            site.start()
        self._keeper.start()

    def _keep(self) -> None:
        while not self._closed.wait(1.0):
            for site in self.sites.values():
                if site.failed():
                    site.start()

    def part(self, name: str) -> Part:
        """The server or a site."""
        return self.server if name == "server" else self.sites[name]

    def disk(self, name: str) -> Path:
        """The only folder that a part writes to."""
        return self.folder / ("federation" if name == "server" else name)

    def signing_request(self, name: str) -> bytes:
        """A certificate signing request (PEM) by a site's own key."""
        return signing_request(private_key(self.folder / name / "key.pem"), name)

    def words(self, who: str) -> str:
        """What a part said, or the text of a ledger."""
        if who == "run":
            return json.dumps(self.entries())
        if who == "federation":
            with self.federation.open_ledger() as ledger:
                return json.dumps([[entry.kind, dict(entry.body)] for entry in ledger.entries()])
        part = self.thief if who == "thief" else self.part(who)
        return part.log if part else ""

    # -- what must hold ---------------------------------------------------------------------------

    def model(self) -> str:
        """Digest of the last global model's file."""
        path = self.federation.run(1).models / "last.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "none"

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        """Bodies of the run's ledger entries of these kinds, each with its ``kind``."""
        path = self.federation.run(1).ledger
        if not path.exists():
            return []
        with Ledger(path, lambda: "") as ledger:
            return [{"kind": entry.kind, **entry.body} for entry in ledger.entries(*kinds)]

    def finished(self) -> bool:
        """Whether the run was declared a success."""
        return [one["kind"] for one in self.entries("started", "finished", "stopped")][-1:] == ["finished"]

    def check(self) -> None:
        """What holds after any fault: records are whole, and no site is missing from a round in silence."""
        for name in self.disks:
            (self.disk(name) / "filler").unlink(missing_ok=True)
        with self.federation.open_ledger() as ledger:
            ledger.verify(self.federation.public_key.read_text())
        run = self.federation.run(1)
        if run.ledger.exists():
            with Ledger(run.ledger, lambda: "") as ledger:
                ledger.verify(self.federation.public_key.read_text())
        told = self.entries("dropped", "failed", "left_out", "lost", "left")
        for one in self.entries("round_finished"):
            for name in set(self.names) - set(one["weights"]):
                assert any(mentions(entry, name) for entry in told), (
                    f"{name} is missing from round {one['round']}"
                )
        self._check_receipts()

    def _check_receipts(self) -> None:
        """Every update that the server counted stands in its site's own record, and both records agree."""
        for name in self.names:
            path = self.folder / name / "receipts.jsonl"
            kept = read_receipts(path) if path.exists() else []
            released = {entry.task_id for entry in kept if entry.event == "released"}
            for one in self.entries("round_finished"):
                if name in one["weights"]:
                    assert f"train-{one['round']}" in released, f"{name}: no receipt of round {one['round']}"
            if released:
                found = compare(self.federation.path, path, name).findings
                assert not [one for one in found if UNACKNOWLEDGED not in one], found

    def close(self) -> None:
        """End everything that is left."""
        self._closed.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for part in (self.server, *self.sites.values(), *([self.thief] if self.thief else [])):
            part.close()
        for name in self.disks:
            unmount(self.disk(name))
        for way in self.ways.values():
            way.close()


def mentions(entry: dict[str, Any], site: str) -> bool:
    """Whether a ledger entry is about a site."""
    sites = entry.get("sites", ())
    return entry.get("site") == site or site in sites


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def laboratory(folder: Path, *given: Any, **more: Any) -> Iterator[Laboratory]:
    """A laboratory that is closed at the end."""
    made = Laboratory(folder, *given, **more)
    try:
        yield made
    finally:
        made.close()


def signing_request(key: Any, name: str) -> bytes:
    """A certificate signing request (PEM)."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def mount(folder: Path, megabytes: int) -> bool:
    """A small disk at ``folder``, in blocks so small that full means full; whether this machine can."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_suffix(".disk")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    steps = (
        ["mkfs.ext4", "-q", "-b", "1024", "-m", "0", "-O", "^has_journal", str(image)],
        ["mount", "-o", "loop", str(image), str(folder)],
    )
    return all(subprocess.run(step, check=False, capture_output=True).returncode == 0 for step in steps)


def unmount(folder: Path) -> None:
    """Take it away."""
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
    folder.with_suffix(".disk").unlink(missing_ok=True)
