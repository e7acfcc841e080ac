"""Certificates, and a server of tokens as Docker's registry wants them."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from servers import Asked, Said


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
