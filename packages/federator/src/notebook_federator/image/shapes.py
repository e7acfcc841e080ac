"""The nouns of this room: descriptors, contents, layers, images; all immutable."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

Role = Literal["server", "client"]
ROLES: tuple[Role, ...] = ("server", "client")
TITLES: Mapping[Role, str] = {"server": "server-aggregation", "client": "client-training"}

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


def digest_of(data: bytes) -> str:
    """``sha256:`` and 64 hexadecimal digits (OCI image specification, "Digests")."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on, in the OCI specification's words (``linux``; ``amd64``, ``arm64``)."""

    os: str = "linux"
    architecture: str = "amd64"

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob or manifest by digest (OCI image specification, "Content Descriptors"); size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""

    def to_json(self) -> dict[str, Any]:
        """The descriptor as the specification writes it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        found |= {"annotations": dict(self.annotations)} if self.annotations else {}
        return found | ({"artifactType": self.artifact_type} if self.artifact_type else {})


class Content(Protocol):
    """Bytes that can be read again and again, wherever they are."""

    def open(self) -> BinaryIO:
        """A new stream from the first byte; the caller closes it."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """Bytes in a file of this machine."""

    path: Path

    def open(self) -> BinaryIO:
        """A new stream from the first byte."""
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class BytesContent:
    """Bytes in memory; for kilobytes only."""

    data: bytes = field(repr=False)

    def open(self) -> BinaryIO:
        """A new stream from the first byte."""
        return io.BytesIO(self.data)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image.

    Attributes:
        descriptor: the compressed blob; sizes in bytes.
        diff_id: digest of the uncompressed tar (OCI image specification, "Layer DiffID").
        unpacked: bytes of the uncompressed tar.
        title: what is inside, for people: ``torch 2.13.0+cpu``, ``71 packages``, ``site runtime, slice``.
        content: where the compressed bytes are.
        key: what the layer was made from, for the layer index; empty for base and code layers.
    """

    descriptor: Descriptor
    diff_id: str
    unpacked: int
    title: str
    content: Content
    key: str = ""


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A whole image: the exact bytes of config and manifest, and its layers from the base up."""

    role: Role
    platform: Platform
    config: bytes
    manifest: bytes
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> str:
        """The image's digest: that of its manifest."""
        return digest_of(self.manifest)

    @property
    def descriptor(self) -> Descriptor:
        """The manifest as a descriptor."""
        return Descriptor(MANIFEST, self.digest, len(self.manifest))


@dataclass(frozen=True, slots=True)
class Attachment:
    """A manifest about an image, such as its SBOM or its signature, with the blobs it names; kilobytes.

    Attributes:
        manifest: its exact bytes.
        blobs: config and layers, by digest.
        tag: what it is found by; empty where its ``subject`` tells.
    """

    manifest: bytes
    blobs: Mapping[str, bytes] = field(repr=False)
    tag: str = ""

    @property
    def brought(self) -> tuple[tuple[Descriptor, BytesContent], ...]:
        """The blobs that it brings, as its manifest describes them; others are where it goes already."""
        manifest = json.loads(self.manifest)
        described = [
            item for item in (manifest["config"], *manifest["layers"]) if item["digest"] in self.blobs
        ]
        contents = [BytesContent(self.blobs[item["digest"]]) for item in described]
        return tuple(
            (Descriptor(str(item["mediaType"]), str(item["digest"]), len(content.data)), content)
            for item, content in zip(described, contents, strict=True)
        )

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        return digest_of(self.manifest)

    @property
    def descriptor(self) -> Descriptor:
        """The manifest as a descriptor."""
        return Descriptor(MANIFEST, self.digest, len(self.manifest))
