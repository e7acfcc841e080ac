"""What an OCI image layout holds: its index and its blobs.

Sources: OCI image specification 1.1, "Image Layout" and "Image Index"; ``manifest.json`` as ``docker save``
writes it (Moby's image specification 1.2, "Combined Image JSON + Filesystem Changeset Format").
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbfed_site.contracts import canonical_json

from .registry.reference import Reference, parse
from .shapes import INDEX, Attachment, BuiltImage, BytesContent, Content, Role, digest_of
from .stored import FULL_NAME, REF_NAME, TAG, Stored, blob_name, children, names_of, signature_tag, subject_of

LAYOUT = canonical_json({"imageLayoutVersion": "1.0.0"})
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob of a layout; ``size`` in bytes, ``title`` only where people are told of its writing."""

    digest: str
    size: int
    content: Content
    title: str = ""


def blobs(images: Sequence[BuiltImage], attached: Sequence[Attachment]) -> tuple[Blob, ...]:
    """Every blob once: manifest, config and layers of each image from the base up, then what is attached."""
    found = {blob.digest: blob for blob in reversed([*_blobs(images), *_attached(attached)])}
    return tuple(reversed(found.values()))


def _blobs(images: Iterable[BuiltImage]) -> Iterator[Blob]:
    for image in images:
        yield from (_small(image.manifest), _small(image.config))
        for layer in image.layers:
            yield Blob(layer.descriptor.digest, layer.descriptor.size, layer.content, layer.title)


def _attached(attached: Iterable[Attachment]) -> Iterator[Blob]:
    for one in attached:
        yield from (_small(data) for data in (one.manifest, *one.blobs.values()))


def _small(data: bytes) -> Blob:
    return Blob(digest_of(data), len(data), BytesContent(data))


def entries(
    images: Sequence[BuiltImage], names: Mapping[Role, str], attached: Sequence[Attachment]
) -> tuple[Entry, ...]:
    """The descriptors of the index: each image by name, then what is attached."""
    return (
        *(_image(image, parse(names[image.role])) for image in images),
        *(_attachment(one) for one in attached),
    )


def _image(image: BuiltImage, name: Reference) -> Entry:
    platform = {"architecture": image.platform.architecture, "os": image.platform.os}
    annotations = {FULL_NAME: str(name), REF_NAME: name.tag or "latest"}
    return image.descriptor.to_json() | {"platform": platform, "annotations": annotations}


def _attachment(one: Attachment) -> Entry:
    kind = json.loads(one.manifest).get("artifactType")
    found = one.descriptor.to_json() | ({"artifactType": kind} if kind else {})
    return found | ({"annotations": {TAG: one.tag}} if one.tag else {})


def index(listed: Sequence[Entry]) -> bytes:
    """``index.json``."""
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(listed)})


def docker_manifest(images: Sequence[BuiltImage], names: Mapping[Role, str]) -> bytes:
    """``manifest.json``: where Docker and Podman find config and layers, by tag."""
    return canonical_json(
        [
            {
                "Config": blob_name(digest_of(image.config)),
                "RepoTags": [str(parse(names[image.role]))],
                "Layers": [blob_name(layer.descriptor.digest) for layer in image.layers],
            }
            for image in images
        ]
    )


def merged(old: Sequence[Entry], new: Sequence[Entry], stored: Stored) -> tuple[Entry, ...]:
    """The new entries after those old ones that they do not replace.

    Replaced is what has the same digest or short name, and what is attached to an image so replaced.
    """
    digests = {entry["digest"] for entry in new}
    names = {names_of(entry)[0] for entry in new if names_of(entry)}
    gone = {entry["digest"] for entry in old if names.intersection(names_of(entry))} - digests
    names |= {signature_tag(digest) for digest in gone}
    kept = [
        entry
        for entry in old
        if entry["digest"] not in digests
        and not names.intersection(names_of(entry))
        and subject_of(stored.find(entry["digest"]) or b"") not in gone
    ]
    return (*kept, *new)


def reachable(listed: Sequence[Entry], stored: Stored) -> frozenset[str]:
    """The digests of everything that the entries name, and that those name.

    Raises: BlobDamaged when a manifest is missing or another.
    """
    found: set[str] = set()
    manifests = [str(entry["digest"]) for entry in listed]
    while manifests:
        digest = manifests.pop()
        if digest not in found:
            found.add(digest)
            below = children(stored.blob(digest))
            found.update(below.blobs)
            manifests.extend(below.manifests)
    return frozenset(found)
