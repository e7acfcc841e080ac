"""The kit's folder, as it lies before a site: believed only where the federation's signature holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .certificates import fingerprint
from .contracts import Kit, KitInvalid, digest, rebuilt
from .keys import is_signed

_NEW_KIT = "Ask the coordinator for a new kit."
_IMAGES = "images.tar"  # for the container engine, which reads it before any of this can run


@dataclass(frozen=True, slots=True)
class KitFolder:
    """A kit whose files are those that were issued.

    Attributes:
        digest: names the kit. signer: digest of the federation's public key, ``signing.pub``.
    """

    path: Path
    kit: Kit
    digest: str
    signer: str

    @property
    def authority(self) -> Path:
        """Certificate of the federation's authority (PEM)."""
        return self.path / "authority.pem"

    @property
    def token(self) -> Path:
        """The one-time join token: a certificate and its private key (PEM)."""
        return self.path / "join-token.pem"


def read_kit(path: Path, slice_digest: str) -> KitFolder:
    """Read a kit's folder; ``slice_digest`` is that of the image that this runs in.

    Raises:
        KitInvalid: a file is missing or was edited, or the kit is for another image.
    """
    data, signer = _read(path, "kit.json"), _read(path, "signing.pub")
    if not is_signed(signer, data, _read(path, "kit.sig").strip()):
        what = "kit.json was edited after the kit was made: the federation's signature does not fit it."
        raise KitInvalid(what, where=str(path), hint=_NEW_KIT)
    try:
        kit = rebuilt(Kit, json.loads(data))
    except (ValueError, TypeError, RecursionError) as error:
        what = f"kit.json is not what this image reads ({type(error).__name__}: {error})."
        raise KitInvalid(what, where=str(path), hint=_NEW_KIT) from error
    for name in sorted(kit.files.keys() - {_IMAGES}):
        if digest(_read(path, name)) != kit.files[name]:
            raise KitInvalid(f"{name} was edited after the kit was made.", where=str(path), hint=_NEW_KIT)
    if fingerprint(_read(path, "authority.pem")) != kit.authority:
        what = "authority.pem is not the certificate that the kit names."
        raise KitInvalid(what, where=str(path), hint=_NEW_KIT)
    if kit.slice_digest != slice_digest:
        what = f"The kit is for the slice {kit.slice_digest[:19]}, and this image holds {slice_digest[:19]}."
        raise KitInvalid(what, where=str(path), hint=f"Start the image that the kit names: {kit.image}")
    return KitFolder(path, kit, digest(data), digest(signer))


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise _unreadable(folder, name, error) from error


def _unreadable(folder: Path, name: str, error: OSError) -> KitInvalid:
    if isinstance(error, FileNotFoundError) and not (folder / "kit.json").exists():
        hint = "Mount the folder that the coordinator gave you: -v DIR:/kit:ro"
        return KitInvalid("There is no kit.", where=str(folder), hint=hint)
    hint = _NEW_KIT if isinstance(error, FileNotFoundError) else "Let this user read it."
    return KitInvalid(f"{name} of the kit cannot be read ({error.strerror}).", where=str(folder), hint=hint)
