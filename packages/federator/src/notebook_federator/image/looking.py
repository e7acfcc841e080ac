"""Looks into images wherever they are: in a registry, a folder or a tar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nbfed_site.contracts import BadInput

from . import inspecting
from .errors import SignatureInvalid
from .inspecting import Inspected
from .registry.client import Registry


def inspect(target: str, keys: Sequence[Path], root_certificates: Path | None) -> tuple[Inspected, ...]:
    """As :func:`inspecting.inspect`, with public keys from files.

    Raises:
        BadInput: a key cannot be read.
        NbfedError: as :func:`inspecting.inspect`.
    """
    pems = [_key(path) for path in keys]
    return inspecting.inspect(target, lambda host: Registry(host, root_certificates=root_certificates), pems)


def verify(target: str, key: Path, root_certificates: Path | None) -> tuple[str, ...]:
    """The digests of the images, every one of which is signed with the key.

    Raises:
        SignatureInvalid: one is not.
        NbfedError: as :func:`inspect`.
    """
    found = inspect(target, [key], root_certificates)
    for image in found:
        if not any(signed.state == "valid" for signed in image.signatures):
            what = (
                "The image is signed, but not with this key."
                if image.signatures
                else "The image is not signed."
            )
            hint = "Do not run it; ask its author for the image and the key that belong together."
            raise SignatureInvalid(what, where=f"{image.name} ({image.digest})", hint=hint)
    return tuple(image.digest for image in found)


def _key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "The author prints it with: nbfed image key"
        raise BadInput("The public key cannot be read.", where=str(error), hint=hint) from error
