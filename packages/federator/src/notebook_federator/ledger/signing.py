"""The federation's signature: ECDSA on P-256 over SHA-256, in DER."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nbfed_site.contracts import FederationUnreadable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with one private key.

    Attributes:
        public_key: its public half, as PEM text: what others check signatures with.
    """

    public_key: str
    _key: EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def make(cls) -> tuple[bytes, Self]:
        """A new private key in PEM form (PKCS#8), and its signer."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem, cls.of(pem)

    @classmethod
    def of(cls, pem: bytes) -> Self:
        """The signer of a private key in PEM form.

        Raises:
            ValueError, TypeError: not an unencrypted P-256 key.
        """
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

        key = load_pem_private_key(pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("the key is not on the curve P-256")
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return cls(public.decode(), key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The signer of a private key's file.

        Raises:
            FederationUnreadable: it is missing or damaged.
        """
        try:
            return cls.of(path.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            hint = "Restore the folder keys/ from a copy of the federation's folder."
            raise FederationUnreadable(
                f"The federation's signing key cannot be read: {error}.", where=str(path), hint=hint
            ) from error

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data`` in DER; the same data give the same bytes (RFC 6979)."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))

    def sign_text(self, text: str) -> str:
        """The signature of ``text`` (UTF-8) in base64."""
        return base64.b64encode(self.sign(text.encode())).decode()


def is_signed(public_key: str, data: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (DER) is one of ``data`` with this P-256 key (PEM); False of any other key."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public_key.encode())
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            return False
        key.verify(signature, data, ec.ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def is_text_signed(public_key: str, text: str, signature: str) -> bool:
    """Whether ``signature`` (base64 of DER) is one of ``text`` with this key (PEM)."""
    try:
        return is_signed(public_key, text.encode(), base64.b64decode(signature, validate=True))
    except (ValueError, binascii.Error):
        return False
