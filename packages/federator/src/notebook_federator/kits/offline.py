"""The client image in one file, for sites that reach no registry: copied by digest, nothing made anew."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from nbfed_site.contracts import BadInput

from ..image import layout, signing
from ..image.registry.content import RegistryContent
from ..image.registry.reference import Reference
from ..image.shapes import (
    Attachment,
    BuiltImage,
    Content,
    Descriptor,
    FileContent,
    Layer,
    Platform,
    digest_of,
)
from ..image.stored import InLayout, InRegistry, Stored, blob_name, children

if TYPE_CHECKING:
    from ..image.meter import Progress
    from ..image.registry.client import Registry

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Where the image is, and how its layers are read from there, by digest."""

    stored: Stored
    content: Callable[[str], Content]


def from_registry(connect: Callable[[str], Registry], progress: Progress) -> Callable[[Reference, Path], str]:
    """As :func:`write_image`, from the registry that is named; ``connect`` opens one by its host."""

    def fetch(reference: Reference, path: Path) -> str:
        registry, repository = connect(reference.registry), reference.repository
        stored = InRegistry(registry, repository, reference.name)
        source = Source(stored, lambda digest: RegistryContent(registry, repository, digest))
        return write_image(source, reference, path, progress)

    return fetch


def from_file(place: Path, progress: Progress) -> Callable[[Reference, Path], str]:
    """As :func:`write_image`, from what ``nbfed build --output`` wrote, a tar or a folder.

    Raises: BadInput when it is neither.
    """
    stored = InLayout(place)

    def content(digest: str) -> Content:
        name = blob_name(digest)
        return FileContent(place / name) if place.is_dir() else _Member(place, name)

    return lambda reference, path: write_image(Source(stored, content), reference, path, progress)


def write_image(source: Source, reference: Reference, path: Path, progress: Progress) -> str:
    """Write one image with its signatures and bill of materials as a tar; the digest of its configuration.

    The tar is an OCI layout and a ``docker save`` archive; the same image gives the same bytes.

    Args:
        source: where the image is.
        reference: by digest.
        path: the file.

    Raises:
        BadInput: the image is not there.
        NbfedError: whatever registry and disk have to say.
    """
    digest = str(reference.digest)
    manifest = source.stored.find(digest)
    if manifest is None:
        hint = "Name what nbfed build wrote for this federation, or leave --images out to ask the registry."
        raise BadInput(
            "The client image is not there.", where=f"{digest} in {source.stored.place}", hint=hint
        )
    image = _image(source, manifest)
    names = {image.role: f"{reference.name}:client-{digest[7:19]}"}
    layout.write_tar([image], names, path, progress, _attached(source.stored, digest))
    return digest_of(image.config)


def _image(source: Source, manifest: bytes) -> BuiltImage:
    described = json.loads(manifest)
    config = source.stored.blob(described["config"]["digest"])
    told = json.loads(config)
    pairs = zip(described["layers"], told["rootfs"]["diff_ids"], strict=True)
    layers = tuple(_layer(source, blob, diff_id) for blob, diff_id in pairs)
    return BuiltImage("client", Platform(told["os"], told["architecture"]), config, manifest, layers)


def _layer(source: Source, blob: dict[str, Any], diff_id: str) -> Layer:
    descriptor = Descriptor(blob["mediaType"], blob["digest"], blob["size"])
    title = (blob.get("annotations") or {}).get("org.notebook-federator.title", "base layer")
    return Layer(descriptor, diff_id, 0, title, source.content(descriptor.digest))


def _attached(stored: Stored, digest: str) -> list[Attachment]:
    found = [Attachment(data, _blobs(stored, data)) for data in stored.about(digest)]
    signed = signing.signatures(stored, digest)
    return [*found, *([signing.attachment(digest, signed)] if signed else [])]


def _blobs(stored: Stored, manifest: bytes) -> dict[str, bytes]:
    return {name: stored.blob(name) for name in children(manifest).blobs}


@dataclass(frozen=True, slots=True)
class _Member:
    """Bytes of one member of an uncompressed tar."""

    path: Path
    name: str

    def open(self) -> BinaryIO:
        """A new stream from the first byte."""
        with tarfile.open(self.path) as archive:
            member = archive.getmember(self.name)
        stream = self.path.open("rb")
        stream.seek(member.offset_data)
        return cast(BinaryIO, io.BufferedReader(_Part(stream, member.size), _CHUNK))


class _Part(io.RawIOBase):
    """The next bytes of a file, and no more."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._left = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._stream.read(min(len(buffer), self._left))
        buffer[: len(found)] = found
        self._left -= len(found)
        return len(found)

    def close(self) -> None:
        self._stream.close()
        super().close()
