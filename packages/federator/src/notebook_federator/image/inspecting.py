"""What an image shows to a hospital's scanner and security officer, read without running or unpacking it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nbfed_site.contracts import BadInput

from . import sbom, signing
from .errors import RepositoryUnknown
from .registry.reference import parse
from .sbom import Package
from .shapes import digest_of
from .signing import Signature
from .stored import InLayout, InRegistry, Stored, names_of, subject_of

if TYPE_CHECKING:
    from .registry.client import Registry

_OWN = "org.notebook-federator"
_OCI = "org.opencontainers.image"
_SECRET = re.compile(r"PASSW|SECRET|TOKEN|CREDENTIAL|API_?KEY|PRIVATE_?KEY", re.IGNORECASE)
_USER_INFO = re.compile(r"://[^/@\s]+@")
_HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class InspectedLayer:
    """One layer; sizes in bytes, ``unpacked`` is None where the image does not say it (a base layer)."""

    title: str
    digest: str
    size: int
    unpacked: int | None


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature: ``unchecked`` where it names a key whose public half was not given."""

    key: str
    state: Literal["valid", "invalid", "unchecked"]


@dataclass(frozen=True, slots=True)
class Inspected:
    """One image as its manifest, configuration, bill of materials and signatures tell it.

    Attributes:
        name: as it was asked for, or as its layout calls it.
        role: ``server``, ``client``, or empty for an image of another kind.
        base: the base image by digest; empty where the image does not say it.
        user: as in the configuration; empty is root.
        environment: values that look like secrets are hidden.
        size, unpacked: bytes to pull; bytes on disk of those layers that say it.
        packages: of the bill of materials; None where the image has none.
    """

    name: str
    role: str
    digest: str
    platform: str
    base: str
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    layers: tuple[InspectedLayer, ...]
    size: int
    unpacked: int
    packages: tuple[Package, ...] | None
    signatures: tuple[Signed, ...]


def inspect(
    target: str, connect: Callable[[str], Registry], public_keys: Sequence[bytes] = ()
) -> tuple[Inspected, ...]:
    """Every image of a layout, or the one that a reference names.

    Args:
        target: a folder, a tar, or the name of an image.
        connect: opens a registry by its host.
        public_keys: PEM; signatures are checked against these.

    Raises:
        BadInput: no layout, or an index of several images; also of the keys.
        ReferenceInvalid, RepositoryUnknown and the registry's other errors: of the reference.
        BlobDamaged: what is read is not what its digest says.
    """
    try:
        return _inspect(target, connect, public_keys)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = "name an image that `nbfed build` or another builder made"
        raise BadInput(
            "This is not written as an image is.", where=f"{target}: {error!r}", hint=hint
        ) from error


def _inspect(
    target: str, connect: Callable[[str], Registry], public_keys: Sequence[bytes]
) -> tuple[Inspected, ...]:
    stored, manifests = find(target, connect)
    return tuple(read(stored, name, manifest, public_keys) for name, manifest in manifests)


def find(target: str, connect: Callable[[str], Registry]) -> tuple[Stored, list[tuple[str, bytes]]]:
    """Where the images are, and each one's name and manifest.

    Raises:
        NbfedError: as :func:`inspect`.
    """
    path = Path(target).expanduser()
    if path.exists() or target.endswith(".tar") or target.startswith((".", "/", "~")):
        layout = InLayout(path)
        return layout, list(_of_layout(layout))
    reference = parse(target)
    stored = InRegistry(connect(reference.registry), reference.repository, reference.name)
    manifest = stored.find(reference.wanted)
    if manifest is None:
        hint = "check name and tag; was it pushed?"
        raise RepositoryUnknown("The registry has no such image.", where=str(reference), hint=hint)
    return stored, [(str(reference), manifest)]


def _of_layout(stored: InLayout) -> Iterator[tuple[str, bytes]]:
    for entry in stored.entries:
        manifest = stored.blob(entry["digest"])
        if _is_image(manifest):
            yield (entry["digest"], *names_of(entry))[-1], manifest


def _is_image(manifest: bytes) -> bool:
    """Whether it is an image, not something about one."""
    layers = json.loads(manifest).get("layers", [])
    return not subject_of(manifest) and all(layer["mediaType"] != signing.PAYLOAD for layer in layers)


def read(stored: Stored, name: str, manifest: bytes, public_keys: Sequence[bytes] = ()) -> Inspected:
    """One image by its manifest, with what is attached to it.

    Raises: BadInput, BlobDamaged.
    """
    described = json.loads(manifest)
    if "config" not in described:
        choices = [item["digest"] for item in described.get("manifests", [])]
        hint = f"name one by digest: {', '.join(choices)}"
        raise BadInput("This name stands for images of several platforms.", where=name, hint=hint)
    configuration = json.loads(stored.blob(described["config"]["digest"]))
    own, digest = configuration.get("config") or {}, digest_of(manifest)
    labels = dict(sorted((own.get("Labels") or {}).items()))
    layers = tuple(_layer(layer) for layer in described["layers"])
    return Inspected(
        name=name,
        role=labels.get(f"{_OWN}.role", ""),
        digest=digest,
        platform=f"{configuration.get('os', '?')}/{configuration.get('architecture', '?')}",
        base=_base(labels),
        user=own.get("User") or "",
        entrypoint=tuple(own.get("Entrypoint") or ()),
        command=tuple(own.get("Cmd") or ()),
        ports=tuple(sorted(own.get("ExposedPorts") or {})),
        volumes=tuple(sorted(own.get("Volumes") or {})),
        environment=dict(_shown(line) for line in own.get("Env") or ()),
        labels=labels,
        layers=layers,
        size=sum(layer.size for layer in layers) + described["config"]["size"] + len(manifest),
        unpacked=sum(layer.unpacked or 0 for layer in layers),
        packages=_packages(stored, digest),
        signatures=tuple(_signed(one, digest, public_keys) for one in signing.signatures(stored, digest)),
    )


def _layer(described: Mapping[str, Any]) -> InspectedLayer:
    told = described.get("annotations") or {}
    unpacked = str(told.get(f"{_OWN}.unpacked", ""))
    return InspectedLayer(
        title=str(told.get(f"{_OWN}.title", "")),
        digest=str(described["digest"]),
        size=int(described["size"]),
        unpacked=int(unpacked) if unpacked.isascii() and unpacked.isdigit() and int(unpacked) else None,
    )


def _base(labels: Mapping[str, str]) -> str:
    name, digest = labels.get(f"{_OCI}.base.name", ""), labels.get(f"{_OCI}.base.digest", "")
    return f"{name}@{digest}" if digest else name


def _shown(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name, _HIDDEN if _SECRET.search(name) else _USER_INFO.sub(f"://{_HIDDEN}@", value)


def _packages(stored: Stored, digest: str) -> tuple[Package, ...] | None:
    for manifest in stored.about(digest):
        found = json.loads(manifest)
        for layer in found.get("layers", []):
            if layer["mediaType"].partition(";")[0] == sbom.MEDIA_TYPE:
                return sbom.packages(stored.blob(layer["digest"]))
    return None


def _signed(signature: Signature, digest: str, public_keys: Sequence[bytes]) -> Signed:
    known = {signing.fingerprint(key): key for key in public_keys}
    for name, key in known.items():
        if signing.is_by(signature, digest, key):
            return Signed(name, "valid")
    bad = signature.key in known or not signature.names(digest)
    return Signed(signature.key, "invalid" if bad else "unchecked")


def data(inspected: Inspected) -> dict[str, Any]:
    """The same for JSON."""
    return asdict(inspected)
