"""The software bill of materials of an image: CycloneDX, from the lock alone.

The same lock, role, base and version give the same bytes: there is no time in it, and its serial number
is made from what it says.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import BadInput, canonical_json

from .shapes import TITLES, Attachment, Descriptor, Role, digest_of

if TYPE_CHECKING:
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

    from ..locking.shapes import Lock, LockedWheel

MEDIA_TYPE = "application/vnd.cyclonedx+json"
_FORMAT = 1  # raised when this file writes other bytes for the same lock
_OWN = "notebook-federator"
_RUNTIME: Mapping[Role, tuple[str, ...]] = {
    "server": ("nbfed-site", "notebook-federator"),
    "client": ("nbfed-site",),
}


@dataclass(frozen=True, slots=True)
class Package:
    """One component as a scanner lists it; ``purl`` may be empty."""

    name: str
    version: str
    purl: str


def key(lock: Lock, role: Role, base: str, builder_version: str) -> str:
    """What :func:`write` depends on, as 64 hexadecimal digits: the name to cache its bytes under."""
    wheels = [(wheel.name, wheel.version, wheel.filename, wheel.sha256) for wheel in lock.wheels(role)]
    target = (lock.target.python, lock.target.platform, lock.target.torch)
    return hashlib.sha256(canonical_json([_FORMAT, role, base, builder_version, target, wheels])).hexdigest()


def write(lock: Lock, role: Role, base: str, builder_version: str) -> bytes:
    """The bill of materials as CycloneDX 1.6 JSON.

    Names every wheel with its SHA-256 and purl, the base image by digest and the product's own packages.
    Licences of wheels are not in the lock and are left out.

    Args:
        lock: the exact wheels.
        role: of the image that is described.
        base: the base image, ``registry/repository@sha256:...``.
        builder_version: version of Notebook Federator, whose runtime is in the image.
    """
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    bom = _bom(lock, role, base, builder_version)
    written = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    found: dict[str, Any] = json.loads(written)
    del found["metadata"]["timestamp"]
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def attachment(image: Descriptor, document: bytes) -> Attachment:
    """The document as an artifact whose subject is the image (OCI image specification 1.1, "Artifacts")."""
    from .registry.referrers import artifact

    layer = Descriptor(MEDIA_TYPE, digest_of(document), len(document))
    return artifact(MEDIA_TYPE, layer, {}, data=document, subject=image)


def packages(document: bytes) -> tuple[Package, ...]:
    """The components of any CycloneDX JSON document, in their order; those inside others too.

    Raises: BadInput when it is not such a document.
    """
    try:
        found = json.loads(document)
        if found["bomFormat"] != "CycloneDX":
            raise ValueError(found["bomFormat"])
        return tuple(_packages(found.get("components", [])))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = "attach a CycloneDX document in JSON"
        raise BadInput("The bill of materials cannot be read.", where=repr(error), hint=hint) from error


def _packages(components: list[Mapping[str, Any]]) -> Iterator[Package]:
    for component in components:
        yield Package(
            str(component["name"]), str(component.get("version", "")), str(component.get("purl", ""))
        )
        yield from _packages(component.get("components", []))


def _bom(lock: Lock, role: Role, base: str, builder_version: str) -> Bom:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType

    image = Component(
        name=TITLES[role], version=builder_version, type=ComponentType.CONTAINER, bom_ref=f"image-{role}"
    )
    parts = [
        _base(base),
        *(_runtime(name, builder_version) for name in _RUNTIME[role]),
        *(_wheel(wheel) for wheel in lock.wheels(role)),
    ]
    serial = uuid.uuid5(uuid.NAMESPACE_OID, key(lock, role, base, builder_version))
    metadata = BomMetaData(component=image, properties=_properties(lock, role))
    bom = Bom(components=parts, metadata=metadata, serial_number=serial)
    bom.register_dependency(image, parts)
    return bom


def _properties(lock: Lock, role: Role) -> list[Property]:
    from cyclonedx.model import Property

    target = lock.target
    found = {"role": role, "platform": target.platform, "python": target.python}
    found |= {"torch": target.torch} if role == "client" else {}
    return [Property(name=f"{_OWN}:{name}", value=value) for name, value in found.items()]


def _wheel(wheel: LockedWheel) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component

    return Component(
        name=wheel.name,
        version=wheel.version,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
        properties=[Property(name=f"{_OWN}:file", value=wheel.filename)],
        **_named(wheel.name, wheel.version),
    )


def _runtime(name: str, version: str) -> Component:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import LicenseExpression

    licence = [LicenseExpression("Apache-2.0")]
    return Component(name=name, version=version, licenses=licence, **_named(name, version))


def _named(name: str, version: str) -> dict[str, Any]:
    from packageurl import PackageURL

    purl = PackageURL("pypi", name=name, version=version)
    return {"purl": purl, "bom_ref": str(purl)}


def _base(base: str) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    repository, _, digest = base.partition("@")
    folder, slash, last = repository.rpartition("/")
    short = last.partition(":")[0]  # without a tag
    where = {"repository_url": f"{folder}{slash}{short}"}
    purl = PackageURL("oci", name=short, version=digest, qualifiers=where)
    return Component(
        name=repository,
        version=digest,
        type=ComponentType.CONTAINER,
        bom_ref=str(purl),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))],
    )
