"""The federation's own signing key: ECDSA on P-256, one PEM file, never overwritten."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nbfed_site.contracts import BadInput

from .shapes import digest_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

VARIABLE = "NBFED_SIGNING_KEY"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LIMIT = 2**16  # bytes of a key file


def user_key() -> Path:
    """The file of this user's key: ``NBFED_SIGNING_KEY``, else one that is made at its first use (mode 0600).

    Raises: BadInput when the named file is missing, or the configuration folder cannot be written.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            hint = f"make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {path}"
            raise BadInput("There is no signing key.", where=f"{VARIABLE}={named}", hint=hint)
        return path
    path = default_path()
    if not path.exists():
        try:
            make_key(path)
        except OSError as error:
            hint = f"name a key file in {VARIABLE}"
            raise BadInput("The signing key cannot be written.", where=str(error), hint=hint) from error
    return path


def default_path() -> Path:
    """Where the key of this user is, whether or not it has been made."""
    import platformdirs

    return platformdirs.user_config_path("notebook-federator", appauthor=False) / "signing-key.pem"


def make_key(path: Path) -> None:
    """Write a new key, whole or not at all; a file that is there already stays.

    Raises: OSError when it cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = ec.generate_private_key(ec.SECP256R1())
    data = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    making = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
        with suppress(FileExistsError):  # another process was first: its key stays
            os.link(making, path)
    finally:
        making.unlink(missing_ok=True)


def private_key(path: Path) -> EllipticCurvePrivateKey:
    """The key in a PEM file (PKCS#8 or SEC 1, without a password) that nobody but its owner can read.

    Raises: BadInput.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _private_bytes(path)
    hint = "name an unencrypted PEM file with a P-256 private key (PKCS#8), or unset " + VARIABLE
    if b"ENCRYPTED" in data:
        raise BadInput(
            "The signing key has a password, which cannot be asked for.", where=str(path), hint=hint
        )
    try:
        found = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInput("The signing key cannot be read.", where=f"{path}: {error}", hint=hint) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, ec.SECP256R1):
        raise BadInput("The signing key is not on the curve P-256.", where=str(path), hint=hint)
    return found


def _private_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if os.name == "posix" and mode & _OTHERS:
                hint = f"chmod 600 {path}"
                raise BadInput("The signing key can be read by others.", where=str(path), hint=hint)
            return stream.read(_LIMIT)
    except OSError as error:
        hint = f"name a key file in {VARIABLE}"
        raise BadInput("The signing key cannot be read.", where=str(error), hint=hint) from error


def public_key(path: Path) -> bytes:
    """The public half of a private key's file, as PEM: what sites get, and ``cosign verify --key`` takes."""
    return public_pem(private_key(path))


def public_pem(key: EllipticCurvePrivateKey) -> bytes:
    """The public half of a private key, as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def loaded_public_key(pem: bytes) -> EllipticCurvePublicKey:
    """A P-256 public key from PEM. Raises: BadInput."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    hint = "ask the federation's author for the PEM file of their public key"
    try:
        found = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInput("This is no public key in PEM form.", where=str(error), hint=hint) from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or not isinstance(found.curve, ec.SECP256R1):
        raise BadInput("The public key is not on the curve P-256.", hint=hint)
    return found


def fingerprint(public_key_pem: bytes) -> str:
    """``sha256:`` and the hash of the key's SubjectPublicKeyInfo, in DER. Raises: BadInput."""
    return fingerprint_of(loaded_public_key(public_key_pem))


def fingerprint_of(key: EllipticCurvePublicKey) -> str:
    """The :func:`fingerprint` of a key that is loaded."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return digest_of(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
