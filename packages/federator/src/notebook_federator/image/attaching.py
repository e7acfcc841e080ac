"""What goes with an image: its bill of materials and its signature."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..locking import Lock
from . import sbom, signing
from .cache import Cache
from .runtime_files import runtime_version
from .shapes import Attachment, BuiltImage, Role
from .stored import InRegistry

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from .registry.client import Registry

_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Attached:
    """What goes with the image of ``digest``."""

    digest: str
    bill: Attachment
    signature: signing.Signature

    @property
    def manifests(self) -> tuple[Attachment, ...]:
        """Both as manifests, for an image layout."""
        return self.bill, signing.attachment(self.digest, [self.signature])


def bill_of_materials(lock: Lock, role: Role, cache: Cache) -> bytes:
    """The SBOM of an image, from the cache where it was written before."""
    version, base = runtime_version(), lock.target.base
    name = sbom.key(lock, role, base, version)
    known = cache.find("documents", name)
    if known is not None:
        return known.read_bytes()
    document = sbom.write(lock, role, base, version)
    with cache.making("documents", name) as path:
        path.write_bytes(document)
    return document


def attached(image: BuiltImage, document: bytes, repository: str, key: EllipticCurvePrivateKey) -> Attached:
    """SBOM ``document`` and a new signature, for one image; ``repository`` is told to readers."""
    bill = sbom.attachment(image.descriptor, document)
    return Attached(image.digest, bill, signing.sign(repository, image.digest, key))


def send(registry: Registry, repository: str, items: Sequence[Attached]) -> list[Attachment]:
    """Send all blobs of what goes beside the images; the manifests that are left to :func:`store`.

    Signatures of others stay.
    """
    place = InRegistry(registry, repository)
    with ThreadPoolExecutor(_AT_ONCE, "attach") as pool:
        signed = pool.map(lambda item: signing.joined(place, item.digest, item.signature), items)
        found = [*(item.bill for item in items), *signed]
        blobs = {blob.digest: (blob, content) for one in found for blob, content in one.brought}
        for _ in pool.map(lambda blob: registry.push_blob(repository, *blob), blobs.values()):
            pass
    return found


def store(registry: Registry, repository: str, manifests: Sequence[Attachment]) -> None:
    """Store the manifests whose blobs are there; their images must be there too."""
    with ThreadPoolExecutor(_AT_ONCE, "attach") as pool:
        for _ in pool.map(lambda one: registry.push_attached_manifest(repository, one), manifests):
            pass
