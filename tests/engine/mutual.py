"""A server behind mutual TLS, and small clients of it: certificates of the federation's own authority."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from nbfed_site.contracts import RoundInput, RoundOutput, output_header
from nbfed_site.link import generate_key
from nbfed_site.link.courier import Courier
from nbfed_site.link.fleet import FleetClient
from notebook_federator.federation.authority import Authority, identity
from notebook_federator.rounds.entrance import Limits
from notebook_federator.rounds.flower import FlowerTransport
from notebook_federator.rounds.mutual_tls import MutualTls, Page

SLICE = "sha256:" + "5" * 64
NOW = datetime.now(UTC)


def signing_request(key_path: Path, name: str = "site") -> bytes:
    """A certificate signing request (PEM) with the key at ``key_path``."""
    key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def client_context(authority: Path, certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """How the holder of a certificate connects; its key may be in the same file."""
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)
    return context


def call(
    server: str, context: ssl.SSLContext, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    """One request to ``https://HOST:PORT``; the answer's status and body."""
    host, _, port = server.removeprefix("https://").rpartition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=context)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Office:
    """One authority, and the files of those whom it knows, in ``folder``."""

    folder: Path
    authority: Authority = field(default_factory=lambda: Authority.make("study", NOW))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        pairs = {"authority": self.authority.pair, "server": self.authority.server("127.0.0.1", NOW)}
        pairs["coordinator"] = self.authority.coordinator(NOW)
        for name, pair in pairs.items():
            self.file(name, ".pem").write_bytes(pair.certificate)
            self.file(name, ".key").write_bytes(pair.key)

    def file(self, name: str, kind: str) -> Path:
        return self.folder / f"{name}{kind}"

    def site(self, name: str, begins: timedelta = timedelta(), days: int = 400) -> bytes:
        """Key and certificate of a site; its public key (PEM)."""
        key = self.file(name, ".key")
        public = generate_key(key) if not key.exists() else b""
        issued = self.authority.issue_site(signing_request(key), name, NOW + begins, days)
        self.file(name, ".pem").write_bytes(issued.pem)
        return public or identity(self.der(name)).public_key_pem

    def token(self, site: str) -> str:
        """A join token for a site; the name of its files, which are one."""
        made = self.authority.join_token(site, NOW)
        for kind in (".pem", ".key"):
            self.file(f"join-{site}", kind).write_bytes(made.pem)
        return f"join-{site}"

    def der(self, name: str) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.file(name, ".pem").read_text())

    def context(self, name: str | None, trusted: "Office | None" = None) -> ssl.SSLContext:
        """How ``name`` connects; None: without a certificate."""
        authority = (trusted or self).file("authority", ".pem")
        if name is None:
            return ssl.create_default_context(cafile=authority)
        return client_context(authority, self.file(name, ".pem"), self.file(name, ".key"))


@dataclass
class Served:
    """A transport behind mutual TLS, in front of members that come and go."""

    office: Office
    host: str = "127.0.0.1"
    limits: Limits = field(default_factory=Limits)
    pages: Mapping[str, Page] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    turned_away: list[tuple[str, str, int]] = field(default_factory=list)
    observed: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        mutual = MutualTls(
            certificate=self.office.file("server", ".pem"),
            key=self.office.file("server", ".key"),
            authority=self.office.file("authority", ".pem"),
            identify=identity,
            why_not=lambda visitor: self.removed.get(visitor.site, ""),
            slice_digest=SLICE,
            pages=self.pages,
        )
        self.transport = FlowerTransport(
            self.host,
            0,
            {},
            self.office.folder / "spool",
            heartbeat_seconds=0.5,
            mutual=mutual,
            observe=self.observed.append,
            turned_away=lambda *told: self.turned_away.append(told),
            limits=self.limits,
        )

    @property
    def address(self) -> str:
        return self.transport.address

    def member(self, name: str) -> "Light":
        """A site that is a member, and connects as one."""
        self.transport.admit(name, self.office.site(name))
        return Light(self, name)

    def ask(
        self, context: ssl.SSLContext, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, bytes]:
        """One request; the answer's status and body."""
        return call(self.address, context, method, path, body, **headers)

    def until(self, wanted: Any) -> Any:
        """The next event that is ``wanted``."""
        for _ in range(100):
            for event in self.transport.events(0.3):
                if wanted(event):
                    return event
        raise AssertionError(f"it never came; observed: {self.observed}")


class Light:
    """A site that answers what it is asked by hand."""

    def __init__(self, served: Served, name: str, slice_digest: str = SLICE) -> None:
        office = served.office
        context = office.context(name)
        server = f"https://{served.address}"
        self.client = FleetClient(server, office.file(name, ".key"), context, slice_digest)
        self.courier = Courier(self.client, "fp32")

    def connect(self) -> "Light":
        self.courier.activate(1.0)
        return self

    def answer(self) -> RoundInput:
        """Do one task: give back what came."""
        task = None
        while task is None:
            task = self.courier.fetch()
        done = RoundOutput(
            task.input.task_id, task.input.kind, task.input.round, num_examples=5, arrays=task.input.arrays
        )
        self.courier.deliver(self.courier.pack(task, {"output": output_header(done)}, done.arrays))
        return task.input


def connect(address: str) -> socket.socket:
    """A bare connection."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def closed_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the other side hangs up within so long."""
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def in_thread(work: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def read(answer: tuple[int, bytes]) -> Any:
    """The JSON of an answer."""
    return json.loads(answer[1])
