"""Looks into images wherever they are: in a registry, a folder or a tar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nbfed_site.contracts import BadInput

from . import inspecting, signing
from .inspecting import Inspected
from .registry.client import connections
from .shapes import digest_of


def inspect(target: str, keys: Sequence[Path], root_certificates: Path | None) -> tuple[Inspected, ...]:
    """As :func:`inspecting.inspect`, with public keys from files.

    Raises:
        BadInput: a key cannot be read.
        NbfedError: as :func:`inspecting.inspect`.
    """
    pems = [_key(path) for path in keys]
    return inspecting.inspect(target, connections(root_certificates), pems)


def verify(target: str, key: Path, root_certificates: Path | None) -> tuple[str, ...]:
    """The digests of the images, every one of which is signed with the key.

    Raises:
        SignatureInvalid: one is not.
        NbfedError: as :func:`inspect`.
    """
    stored, manifests = inspecting.find(target, connections(root_certificates))
    pem = _key(key)
    digests = tuple(digest_of(manifest) for _, manifest in manifests)
    for digest in digests:
        signing.verify(stored, digest, pem)
    return digests


def _key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "The author prints it with: nbfed image key"
        raise BadInput("The public key cannot be read.", where=str(error), hint=hint) from error
