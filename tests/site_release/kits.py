"""Kits as a coordinator issues them, made with a throw-away authority."""

import datetime
import ipaddress
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from nbfed_site.contracts import Kit, canonical_json, digest
from nbfed_site.keys import generate_key, private_key, sign

SLICE = digest(b"slice")
TOKEN = "0123456789abcdef"
_PEM = serialization.Encoding.PEM


class Issuer:
    """An authority, a server's certificate for 127.0.0.1, and a signing key, as files of one folder."""

    def __init__(self, folder: Path, now: datetime.datetime | None = None) -> None:
        folder.mkdir(parents=True)
        self.folder, self.now = folder, now or datetime.datetime.now(datetime.UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._authority = self._issued(self._key.public_key(), "authority", None, 3650)
        self.authority = folder / "authority.pem"
        self.authority.write_bytes(self._authority.public_bytes(_PEM))
        self.signing_public = generate_key(folder / "signing.key")
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        self.server = self.pair("server", address, 300)

    def _issued(
        self, key: ec.EllipticCurvePublicKey, name: str, alternative: x509.GeneralName | None, days: float
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        use = ExtendedKeyUsageOID.SERVER_AUTH if name == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - datetime.timedelta(days=60))
            .not_valid_after(self.now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(alternative is None, None), True)
        )
        if alternative is not None:
            made = made.add_extension(x509.SubjectAlternativeName([alternative]), False)
            made = made.add_extension(x509.ExtendedKeyUsage([use]), False)
        return made.sign(self._key, hashes.SHA256())

    def pair(self, name: str, alternative: x509.GeneralName, days: float) -> Path:
        """One PEM file with a new private key and its certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = self.folder / f"{name}.pem"
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(self._issued(key.public_key(), name, alternative, days).public_bytes(_PEM) + private)
        return path

    def token(self, site: str = "hospital-a", days: float = 30) -> Path:
        """A join token."""
        return self.pair("token", x509.UniformResourceIdentifier(f"nbfed:join:{site}:{TOKEN}"), days)

    def certificate(
        self, public: ec.EllipticCurvePublicKey, site: str = "hospital-a", days: float = 400
    ) -> bytes:
        """What a site is given when it joins."""
        name = x509.UniformResourceIdentifier(f"nbfed:site:{site}")
        return self._issued(public, site, name, days).public_bytes(_PEM)

    def kit(self, folder: Path, change: Callable[[Kit], Kit] = lambda kit: kit, **fields: object) -> Path:
        """A kit's folder; ``change`` is made before it is signed."""
        folder.mkdir()
        contents = {
            "compose.yml": b"services: {}\n",
            "authority.pem": self.authority.read_bytes(),
            "join-token.pem": self.token().read_bytes(),
        }
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        values = {
            "federation": "study",
            "site": "hospital-a",
            "serial": 1,
            "issued": "2026-11-27T12:00:00Z",
            "server": "https://127.0.0.1:9",
            "authority": digest(self._authority.public_bytes(serialization.Encoding.DER)),
            "token": TOKEN,
            "image": "registry.example.org/study@" + digest(b"image"),
            "slice_digest": SLICE,
            "notebook_digest": digest(b"notebook"),
            "files": {name: digest(data) for name, data in contents.items()},
            **fields,
        }
        data = canonical_json(change(Kit(**values)).to_json())  # type: ignore[arg-type]
        (folder / "kit.json").write_bytes(data)
        (folder / "kit.sig").write_text(sign(private_key(self.folder / "signing.key"), data))
        (folder / "signing.pub").write_bytes(self.signing_public)
        return folder
