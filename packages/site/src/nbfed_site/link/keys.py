"""A site's key pair: made at the site; only the public half ever leaves it.

Touches of Flower that are not its public API:
    ``flwr.supercore.primitives.asymmetric.public_key_to_bytes``.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from nbfed_site.contracts import SettingsInvalid

_LINE = "nbfed-site-key:"


def generate_key(path: Path) -> bytes:
    """Write a new private key, readable by its owner only, to ``path``; return the public key (PEM).

    NIST P-256: as strong as Flower's node authentication asks for, and 10 times faster to sign
    with than the P-384 of Flower's own keys.

    Raises:
        SettingsInvalid: the file is there already.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise SettingsInvalid("There is a private key already.", where=str(path)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return public_key_to_bytes(key.public_key())


def public_key(path: Path) -> bytes:
    """The public key (PEM) that belongs to the private key at ``path``.

    Raises:
        SettingsInvalid: there is no such key.
    """
    return public_key_to_bytes(private_key(path).public_key())


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key at ``path``.

    Raises:
        SettingsInvalid: there is no such key.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise SettingsInvalid("The site's private key cannot be read.", where=str(path)) from error
    return cast(ec.EllipticCurvePrivateKey, key)


def key_line(public: bytes) -> str:
    """A public key (PEM) as a short line to give away: ``nbfed-site-key:`` and 44 characters.

    These are the compressed point (SEC 1, section 2.3.3) in base64url.
    """
    key = cast(ec.EllipticCurvePublicKey, serialization.load_pem_public_key(public))
    point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    return _LINE + urlsafe_b64encode(point).decode()


def key_from_line(line: str) -> bytes:
    """The public key (PEM) of a line as :func:`key_line` writes it.

    Raises:
        SettingsInvalid: it is not such a line, or not whole.
    """
    try:
        point = urlsafe_b64decode(line.strip().removeprefix(_LINE))
        return public_key_to_bytes(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
    except ValueError as error:
        hint = "The site prints it with its command `key`; copy the whole line."
        raise SettingsInvalid(f"{line!r} is not a site's public key.", hint=hint) from error
