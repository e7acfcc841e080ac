"""The federation's own certificate authority: who may speak to its server, and as whom.

Every certificate is on P-256. A client's says who it is in one URI: ``nbfed:join:SITE:TOKEN`` (a kit's
one-time token), ``nbfed:site:SITE`` (a site that joined), ``nbfed:coordinator``.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from nbfed_site.certificates import STRANGE
from nbfed_site.contracts import CertificateRefused, JoinRefused, digest

from .certificates import Holder, Issued, Pair, begun, client, host_name, key_pem, named, usage

AUTHORITY_DAYS = 3650
SITE_DAYS = 400
TOKEN_DAYS = 30
_SITE = re.compile(r"nbfed:site:([a-z0-9-]{1,63})")
_JOIN = re.compile(r"nbfed:join:([a-z0-9-]{1,63}):([0-9a-f]{16})")
_COORDINATOR = "nbfed:coordinator"
_MOST_CSR = 16_384

Role = Literal["join", "site", "coordinator"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client certificate says its holder is.

    Attributes:
        site: empty for the coordinator. token: 16 hexadecimal digits, empty where it is no join token.
        public_key_pem: of the certificate. serial: of the certificate, hexadecimal.
    """

    role: Role
    site: str
    token: str
    public_key_pem: bytes
    serial: str


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What a kit opens the server's port with, once: a certificate with its private key, in one PEM."""

    id: str
    pem: bytes = field(repr=False)
    expires: str


@dataclass(frozen=True, slots=True)
class Authority:
    """Issues the certificates of one federation."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def make(cls, federation: str, now: datetime) -> Self:
        """A new authority; ``now`` is in UTC."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = named(federation)
        builder = begun(name, name, key.public_key(), now, AUTHORITY_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        builder = builder.add_extension(usage(sign_certificates=True), critical=True)
        subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return cls(builder.add_extension(subject, critical=False).sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, pair: Pair) -> Self:
        """The authority of a certificate and key.

        Raises:
            ValueError: they are damaged, or do not belong together.
        """
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("certificate and key of the authority do not belong together")
        return cls(certificate, key)

    @property
    def pair(self) -> Pair:
        """Certificate and key in PEM form."""
        return Pair(self.certificate.public_bytes(serialization.Encoding.PEM), key_pem(self.key))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate (DER), as ``sha256:...``."""
        return digest(self.certificate.public_bytes(serialization.Encoding.DER))

    def server(self, host: str, now: datetime) -> Pair:
        """A server's certificate for the name or address that sites call, with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        holder = Holder(host, host_name(host), ExtendedKeyUsageOID.SERVER_AUTH, AUTHORITY_DAYS)
        return Pair(self._issue(key.public_key(), holder, now).pem, key_pem(key))

    def coordinator(self, now: datetime) -> Pair:
        """A client certificate for the coordinator's own commands, with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        holder = client("coordinator", _COORDINATOR, AUTHORITY_DAYS)
        return Pair(self._issue(key.public_key(), holder, now).pem, key_pem(key))

    def join_token(self, site: str, now: datetime) -> JoinToken:
        """A one-time token for a site's kit."""
        key, token = ec.generate_private_key(ec.SECP256R1()), secrets.token_hex(8)
        holder = client(f"join {site}", f"nbfed:join:{site}:{token}", TOKEN_DAYS)
        issued = self._issue(key.public_key(), holder, now)
        return JoinToken(token, issued.pem + key_pem(key), issued.expires)

    def issue_site(self, csr_pem: bytes, site: str, now: datetime, days: int = SITE_DAYS) -> Issued:
        """The certificate of a site that joins, for the key in its request; nothing else of that counts.

        Raises:
            JoinRefused: the request cannot be used.
        """
        return self._issue(_requested(csr_pem), client(site, f"nbfed:site:{site}", days), now)

    def _issue(self, key: ec.EllipticCurvePublicKey, holder: Holder, now: datetime) -> Issued:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = begun(named(holder.name), self.certificate.subject, key, now, holder.days)
        builder = builder.add_extension(x509.SubjectAlternativeName([holder.subject]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(usage(sign_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([holder.use]), critical=False)
        made = builder.add_extension(above, critical=False).sign(self.key, hashes.SHA256())
        expires = made.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
        return Issued(made.public_bytes(serialization.Encoding.PEM), f"{made.serial_number:x}", expires)


def identity(der: bytes) -> Identity:
    """Who the holder of a client certificate is; its chain and dates are the TLS handshake's to check.

    Raises:
        CertificateRefused: it does not say, or is no certificate.
    """
    try:
        found = x509.load_der_x509_certificate(der)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        key = found.public_key()
    except (ValueError, x509.ExtensionNotFound, UnsupportedAlgorithm) as error:
        raise _nobody() from error
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    serial = f"{found.serial_number:x}"
    if joins := _JOIN.fullmatch(uri):
        return Identity("join", joins[1], joins[2], pem, serial)
    if site := _SITE.fullmatch(uri):
        return Identity("site", site[1], "", pem, serial)
    if uri == _COORDINATOR:
        return Identity("coordinator", "", "", pem, serial)
    raise _nobody()


def requested_key(csr_pem: bytes) -> bytes:
    """The public key (PEM) that a certificate signing request asks for.

    Raises:
        JoinRefused: the request cannot be used.
    """
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return _requested(csr_pem).public_bytes(serialization.Encoding.PEM, form)


def _requested(csr_pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        found = x509.load_pem_x509_csr(csr_pem[:_MOST_CSR])
        key = found.public_key()
        sound = found.is_signature_valid
    except STRANGE:
        sound, key = False, None
    if not sound or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        hint = "Start the site from its kit's own image; it makes the request itself."
        raise JoinRefused("The certificate request cannot be used.", hint=hint)
    return key


def _nobody() -> CertificateRefused:
    return CertificateRefused("The client's certificate does not say whose it is.", hint="Use the kit's own.")
