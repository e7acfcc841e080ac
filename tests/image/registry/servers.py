"""Small real servers around a registry: for tokens, by a function, proxies that cut or tunnel."""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from notebook_federator.image.registry.transport import Patience
from notebook_federator.image.shapes import LAYER, BytesContent, Descriptor, digest_of

QUICK = Patience(attempts=4, first=0.02, longest=0.1)
HTPASSWD = "ada:$2b$04$WWVFqkAVWSG4iw4NcG07k.jgPzb726T9DZ1obqIhfVoMkUUzZjq/S\n"  # password: secret


def blob(size: int) -> tuple[Descriptor, BytesContent]:
    """Random bytes with their descriptor."""
    data = os.urandom(size)
    return Descriptor(LAYER, digest_of(data), size), BytesContent(data)


def login(folder: Path, registry: str, **entry: str) -> None:
    """Write Docker's file of credentials into a home folder."""
    made = entry or {"auth": base64.b64encode(b"ada:secret").decode()}
    (folder / ".docker").mkdir(exist_ok=True)
    (folder / ".docker/config.json").write_text(json.dumps({"auths": {registry: made}}))


# HTTP by a function


@dataclass
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    address: str


@dataclass
class Said:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@contextmanager
def serving(answer: Callable[[Asked], Said]) -> Iterator[str]:
    """An HTTP server that answers as the function says; its ``localhost:PORT``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with suppress(ConnectionError):
                super().handle_one_request()

        def any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = answer(Asked(self.command, self.path, self.headers, body, self.headers["Host"]))
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in said.headers:
                self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.any)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


# Certificates and tokens


def certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = folder / f"{names[0]}.crt", folder / f"{names[0]}.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return pem, key_pem


@dataclass
class TokenServer:
    """Gives tokens as Docker's registry wants them (ES256); ``allowed``: the actions of a user somewhere."""

    folder: Path
    allowed: Callable[[str, str], set[str]] = lambda user, repository: {"pull", "push"}
    life: int = 300
    asked: list[Asked] = field(default_factory=list)
    address: str = ""

    def configuration(self, address: str) -> dict[str, Any]:
        """What a registry is told of this server."""
        self.address = address
        self.pem, self.key = certificate(self.folder, "tokens")
        realm = f"http://{address}/token"
        token = {"realm": realm, "service": "test", "issuer": "issuer", "rootcertbundle": str(self.pem)}
        return {"auth": {"token": token}}

    def answer(self, asked: Asked) -> Said:
        """A token for who asks, or 401."""
        self.asked.append(asked)
        if asked.method == "POST":
            form = parse_qs(asked.body.decode())
            user = "ada" if form["refresh_token"] == ["identity"] else None
            scopes = form["scope"][0].split()
        else:
            user, scopes = self._user(asked.headers.get("Authorization")), self.scopes(asked)
        if user is None:
            return Said(401, body=b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}')
        access = [self._access(user, scope) for scope in scopes]
        name = "access_token" if asked.method == "POST" else "token"
        made = {name: self._token(user, access), "expires_in": self.life}
        return Said(headers={"Content-Type": "application/json"}, body=json.dumps(made).encode())

    def scopes(self, asked: Asked) -> list[str]:
        """The scopes of one request."""
        return parse_qs(urlsplit(asked.path).query).get("scope", [])

    def _user(self, header: str | None) -> str | None:
        if header is None:
            return "anonymous"
        return "ada" if base64.b64decode(header.removeprefix("Basic ")) == b"ada:secret" else None

    def _access(self, user: str, scope: str) -> dict[str, Any]:
        kind, name, actions = scope.split(":")
        granted = sorted(self.allowed(user, name) & set(actions.split(",")))
        return {"type": kind, "name": name, "actions": granted}

    def _token(self, user: str, access: list[dict[str, Any]]) -> str:
        certified = x509.load_pem_x509_certificate(self.pem.read_bytes())
        chain = base64.b64encode(certified.public_bytes(serialization.Encoding.DER)).decode()
        now = int(time.time())
        times = {"nbf": now - 60, "iat": now, "exp": now + max(self.life, 5)}
        claims = {"iss": "issuer", "sub": user, "aud": "test", "jti": os.urandom(8).hex(), "access": access}
        parts = ({"typ": "JWT", "alg": "ES256", "x5c": [chain]}, claims | times)
        text = ".".join(_url64(json.dumps(part).encode()) for part in parts)
        key = serialization.load_pem_private_key(self.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_url64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# Proxies


class Tunnel:
    """Passes connections on to ``target``; can cut them after some bytes, and close its door.

    With ``connect`` it is an HTTP proxy whose CONNECT always leads to ``target``.
    """

    def __init__(self, target: str, *, connect: bool = False) -> None:
        self.target = target
        self.cuts: list[int] = []  # for the next connections: bytes sent by the client before the cut
        self.connect = connect
        self.connected: list[str] = []
        self.port = 0
        self._open: set[socket.socket] = set()
        self.open()

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse new connections and break those that are open."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for item in list(self._open):
            with suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        if self.connect:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.connected.append(head.split()[1].decode())
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        host, _, port = self.target.partition(":")
        server = socket.create_connection((host, int(port)))
        self._open |= {client, server}
        sent = 0
        with client, server, suppress(OSError):
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    (server if ready is client else client).sendall(data)
                    sent += len(data) if ready is client else 0
                    if self.cuts and sent > self.cuts[0]:
                        del self.cuts[0]
                        return
        self._open -= {client, server}


@contextmanager
def tunnel(target: str, *, connect: bool = False) -> Iterator[Tunnel]:
    """A :class:`Tunnel` for the time of the block."""
    made = Tunnel(target, connect=connect)
    try:
        yield made
    finally:
        made.close()
