"""Certificates as a site meets them: its own request, what it is given, and how long that is good for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .contracts import digest

# what cryptography raises at certificates and requests that somebody made up
STRANGE = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion)


def signing_request(key: ec.EllipticCurvePrivateKey, site: str) -> str:
    """A request (PEM) for a certificate of ``key``; whose it is stands in the join token alone."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, site)])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint(pem: bytes) -> str:
    """SHA-256 of a certificate (DER), as ``sha256:...``; empty of anything else."""
    try:
        return digest(x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER))
    except STRANGE:
        return ""


def flaw(pem: bytes, key: ec.EllipticCurvePrivateKey, authority: bytes) -> str:
    """Why this is no certificate of ``key`` by ``authority`` (PEM); empty where it is one."""
    try:
        found = x509.load_pem_x509_certificate(pem)
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except STRANGE:
        return "it is not of the federation's authority"
    return "" if found.public_key() == key.public_key() else "it is of another key"


def days_left(path: Path, now: datetime | None = None) -> float:
    """Days until the certificate at ``path`` expires; 0 where there is none."""
    try:
        end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, *STRANGE):
        return 0.0
    return (end - (now or datetime.now(UTC))).total_seconds() / 86400
