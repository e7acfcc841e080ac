"""A coordinator for the tests of a site: an authority, kits, and a real server behind mutual TLS."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nbfed_site.contracts import Kit, canonical_json, digest, plain
from nbfed_site.keys import generate_key
from notebook_federator.federation.authority import Authority, Identity, identity, requested_key
from notebook_federator.ledger import Signer
from notebook_federator.rounds.flower import FlowerTransport
from notebook_federator.rounds.mutual_tls import MutualTls, Page

SLICE = digest(b"slice")
SITE = "hospital-a"


@dataclass
class Coordinator:
    """Issues kits, each with an own token, all files in ``folder``."""

    folder: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.authority = Authority.make("study", self.now)
        server = self.authority.server("127.0.0.1", self.now)
        (self.folder / "server.pem").write_bytes(server.certificate)
        (self.folder / "server.key").write_bytes(server.key)
        (self.folder / "authority.pem").write_bytes(self.authority.pair.certificate)
        generate_key(self.folder / "signing.key")
        self.signer = Signer.load(self.folder / "signing.key")

    def kit(self, folder: Path, change: Callable[[Kit], Kit] = lambda kit: kit, **fields: Any) -> Path:
        """A kit's folder; ``change`` is made before it is signed."""
        folder.mkdir()
        token = self.authority.join_token(SITE, self.now)
        contents = {
            "compose.yml": b"services: {}\n",
            "authority.pem": self.authority.pair.certificate,
            "join-token.pem": token.pem,
        }
        values: dict[str, Any] = {
            "federation": "study",
            "site": SITE,
            "serial": 1,
            "issued": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "server": "https://127.0.0.1:9",
            "authority": self.authority.fingerprint,
            "token": token.id,
            "image": "registry.example.org/study@" + digest(b"image"),
            "slice_digest": SLICE,
            "notebook_digest": digest(b"notebook"),
            "heartbeat": 0.5,
            "files": {name: digest(data) for name, data in contents.items()},
            **fields,
        }
        data = canonical_json(plain(change(Kit(**values))))
        contents["kit.json"] = data
        contents["kit.sig"] = base64.b64encode(self.signer.sign(data))
        contents["signing.pub"] = self.signer.public_key.encode()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return folder


@dataclass
class Server:
    """The engine's own server, with a join page that does as it is told.

    Attributes:
        refuse: an answer to joins in place of a certificate.
        days: how long certificates are good for.
    """

    coordinator: Coordinator
    slice_digest: str = SLICE
    refuse: tuple[int, Mapping[str, str]] | None = None
    days: int = 400
    asked: list[dict[str, str]] = field(default_factory=list)
    removed: str = ""
    key: bytes = b""

    def __post_init__(self) -> None:
        folder = self.coordinator.folder
        mutual = MutualTls(
            certificate=folder / "server.pem",
            key=folder / "server.key",
            authority=folder / "authority.pem",
            identify=identity,
            why_not=lambda visitor: self.removed,
            slice_digest=self.slice_digest,
            pages={"/v1/join": Page("POST", "join", self._join)},
        )
        spool = folder / "spool"
        self.transport = FlowerTransport("127.0.0.1", 0, {}, spool, heartbeat_seconds=0.5, mutual=mutual)

    @property
    def url(self) -> str:
        return f"https://{self.transport.address}"

    def _join(self, visitor: Identity, body: bytes) -> tuple[int, Mapping[str, Any]]:
        request = json.loads(body)
        self.asked.append({**request, "token": visitor.token})
        if self.refuse is not None:
            return self.refuse
        csr = request["csr"].encode()
        issued_at = self.coordinator.now - timedelta(days=max(0, 1 - self.days))
        issued = self.coordinator.authority.issue_site(csr, visitor.site, issued_at, self.days)
        self.key = requested_key(csr)
        self.transport.admit(visitor.site, self.key)
        return 200, {"certificate": issued.pem.decode()}
