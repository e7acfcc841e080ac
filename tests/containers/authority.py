"""A private certificate authority for one test, and a server certificate that it signs."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def write_certificates(folder: Path, host: str) -> None:
    """Write ``authority.pem``, and ``server.pem`` with ``server.key`` for the name ``host``."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    above = named("Test authority")
    authority = begun(above, above, authority_key).add_extension(x509.BasicConstraints(True, 0), True)
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    server = (
        begun(named(host), above, server_key)
        .add_extension(names, False)
        .add_extension(x509.BasicConstraints(False, None), True)
    )
    for name, builder in (("authority.pem", authority), ("server.pem", server)):
        made = builder.sign(authority_key, hashes.SHA256())
        (folder / name).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(server_key.private_bytes(*form))


def named(common_name: str) -> x509.Name:
    """A distinguished name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """A certificate for three months, without what it may be used for."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=90))
    )
