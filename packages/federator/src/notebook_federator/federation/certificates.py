"""The parts of X.509 that a federation's certificates are made of."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_BACK = timedelta(hours=48)  # clocks of sites may be late


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate in PEM form, its serial number (hexadecimal), and its end (UTC, ISO 8601)."""

    pem: bytes
    serial: str
    expires: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a certificate is for, what it may be used for, and for how many days."""

    name: str
    subject: x509.GeneralName
    use: x509.ObjectIdentifier
    days: int


def client(name: str, uri: str, days: int) -> Holder:
    """Somebody who calls the server, and says with ``uri`` who that is."""
    subject = x509.UniformResourceIdentifier(uri)
    return Holder(name, subject, ExtendedKeyUsageOID.CLIENT_AUTH, days)


def is_for(certificate_pem: bytes, host: str) -> bool:
    """Whether a server's certificate is for this name or address.

    Raises:
        ValueError: it is no certificate.
    """
    found = x509.load_pem_x509_certificate(certificate_pem)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return list(names) == [host_name(host)]


def begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    """A certificate without what it may be used for; ``now`` is in UTC."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _BACK)
        .not_valid_after(now.astimezone(UTC) + timedelta(days=days))
    )


def named(text: str) -> x509.Name:
    """A distinguished name of a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def host_name(host: str) -> x509.GeneralName:
    """A name or an address, as certificates name it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def usage(*, sign_certificates: bool) -> x509.KeyUsage:
    """Of an authority's key, or of everybody else's."""
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key, PKCS#8 without a password."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form)
