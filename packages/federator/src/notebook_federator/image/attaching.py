"""What goes with an image: its bill of materials and its signature."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..locking import Lock
from . import sbom, signing
from .cache import Cache
from .runtime_files import runtime_version
from .shapes import Attachment, BuiltImage, Role

if TYPE_CHECKING:
    from .registry.client import Registry


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


def attached(image: BuiltImage, document: bytes, repository: str, key: Path) -> Attached:
    """SBOM ``document`` and a new signature, for one image; ``repository`` is told to readers."""
    bill = sbom.attachment(image.descriptor, document)
    return Attached(image.digest, bill, signing.sign(repository, image.digest, key))


def push(registry: Registry, repository: str, items: Sequence[Attached]) -> None:
    """Put them beside their images; signatures of others stay."""

    def sign(item: Attached) -> None:
        signing.push(registry, repository, item.digest, item.signature)

    def describe(item: Attached) -> None:
        registry.push_attachment(repository, item.bill)

    with ThreadPoolExecutor(2 * len(items), "attach") as pool:
        work = [pool.submit(step, item) for item in items for step in (sign, describe)]
        for future in work:
            future.result()
