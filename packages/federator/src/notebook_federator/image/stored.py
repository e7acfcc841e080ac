"""Reading images that lie somewhere: in a registry, in an OCI layout folder, in a tar of one.

Everything read by digest is checked against it; nothing larger than its limit is read into memory.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nbfed_site.contracts import BadInput

from .errors import BlobDamaged
from .shapes import digest_of

if TYPE_CHECKING:
    from .registry.client import Registry

MANIFEST_LIMIT = (
    4 * 2**20
)  # bytes; what registries must accept (OCI distribution specification, "Pushing Manifests")
DOCUMENT_LIMIT = 64 * 2**20  # bytes of a config, signature or bill of materials
REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"
TAG = (
    "org.notebook-federator.tag"  # of a signature: named as images are, containerd would unpack it, and fail
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Stored(Protocol):
    """One repository, or one layout."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    def find(self, reference: str) -> bytes | None:
        """The manifest with this digest, tag or full name; None where there is none."""

    def blob(self, digest: str) -> bytes:
        """A small blob. Raises: BlobDamaged when it is missing or another."""

    def about(self, digest: str) -> tuple[bytes, ...]:
        """The manifests whose subject is this one (OCI distribution specification, "Listing Referrers")."""


class InRegistry:
    """A repository of a registry."""

    def __init__(self, registry: Registry, repository: str, place: str = "") -> None:
        self.registry = registry
        self.repository = repository
        self.place = place or repository

    def find(self, reference: str) -> bytes | None:
        """The manifest with this digest or tag."""
        found = self.registry.find_manifest(self.repository, reference)
        return None if found is None else found.data

    def blob(self, digest: str) -> bytes:
        """A small blob, checked by the registry's own stream."""
        with closing(self.registry.blob(self.repository, digest)) as stream:
            data = stream.read(DOCUMENT_LIMIT + 1)
            if len(data) <= DOCUMENT_LIMIT:
                stream.read()  # to its end, where its hash is checked
        return _checked(data, digest, self.place)

    def about(self, digest: str) -> tuple[bytes, ...]:
        """The referrers' manifests."""
        listed = self.registry.referrers(self.repository, digest)
        found = (self.find(descriptor.digest) for descriptor in listed)
        return tuple(data for data in found if data is not None)


class InLayout:
    """An OCI image layout (OCI image specification 1.1, "Image Layout"): a folder, or a tar of one."""

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._files: _Files = _Folder(path) if path.is_dir() else _Tar(path)
        self.entries = entries(self._files.read("index.json", MANIFEST_LIMIT), self.place)

    def find(self, reference: str) -> bytes | None:
        """The manifest with this digest, short name or full name, if the index has it."""
        for entry in self.entries:
            if reference in (entry["digest"], *names_of(entry)):
                return self._read(entry["digest"], MANIFEST_LIMIT)
        return None

    def blob(self, digest: str) -> bytes:
        """A small blob."""
        return self._read(digest, DOCUMENT_LIMIT)

    def about(self, digest: str) -> tuple[bytes, ...]:
        """The manifests of the index whose subject this is."""
        found = (self._read(entry["digest"], MANIFEST_LIMIT) for entry in self.entries)
        return tuple(data for data in found if subject_of(data) == digest)

    def _read(self, digest: str, limit: int) -> bytes:
        return _checked(self._files.read(blob_name(digest), limit), digest, self.place)


def blob_name(digest: str) -> str:
    """Where a layout has the blob: ``blobs/sha256/...``. Raises: BlobDamaged for no SHA-256 digest."""
    if not _DIGEST.fullmatch(digest):
        raise BlobDamaged("A blob is named by something that is no SHA-256 digest.", where=digest[:80])
    return digest.replace("sha256:", "blobs/sha256/")


def entries(index: bytes, place: str) -> tuple[Mapping[str, Any], ...]:
    """The descriptors of an image index. Raises: BadInput when it is none."""
    try:
        listed = json.loads(index)["manifests"]
        for entry in listed:
            blob_name(entry["digest"])
            names_of(entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            "The index of this image layout cannot be read.", where=place, hint="write it again with --output"
        ) from error
    return tuple(listed)


def names_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Tag and full name of one descriptor of an index; what it has of them."""
    found = entry.get("annotations") or {}
    return tuple(str(found[name]) for name in (REF_NAME, TAG, FULL_NAME) if name in found)


def subject_of(manifest: bytes) -> str:
    """The digest of what the manifest is about; empty where it is about nothing else."""
    try:
        return str(json.loads(manifest)["subject"]["digest"])
    except (ValueError, KeyError, TypeError):
        return ""


@dataclass(frozen=True, slots=True)
class Children:
    """What a manifest or index names, by digest."""

    blobs: tuple[str, ...]
    manifests: tuple[str, ...]


def children(manifest: bytes) -> Children:
    """The digests below a manifest or index, its subject left out. Raises: BlobDamaged when it is neither."""
    try:
        found = json.loads(manifest)
        own = [found["config"], *found["layers"]] if "config" in found else found.get("layers", [])
        manifests = found.get("manifests", [])
        return Children(*(tuple(str(item["digest"]) for item in items) for items in (own, manifests)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BlobDamaged("A manifest cannot be read.", where=digest_of(manifest)) from error


def signature_tag(digest: str) -> str:
    """Where the signatures of an image are (cosign's signature specification, "Tag-based Discovery")."""
    return digest.replace(":", "-") + ".sig"


def _checked(data: bytes, digest: str, place: str) -> bytes:
    if digest_of(data) != digest:
        hint = "copy or write the image again"
        raise BlobDamaged("A blob is not what its digest says.", where=f"{digest} in {place}", hint=hint)
    return data


class _Files(Protocol):
    def read(self, name: str, limit: int) -> bytes:
        """At most ``limit`` + 1 bytes of a file; nothing where there is none."""


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "oci-layout").is_file():
            raise _no_layout(path)

    def read(self, name: str, limit: int) -> bytes:
        try:
            with (self.path / name).open("rb") as stream:
                return stream.read(limit + 1)
        except FileNotFoundError:
            return b""


class _Tar:
    """The members are found once; each reading opens the file anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with tarfile.open(path) as tar:
                self.members = {member.name.removeprefix("./"): member for member in tar if member.isfile()}
        except FileNotFoundError:
            raise BadInput("There is no such file.", where=str(path), hint="check the path") from None
        except (tarfile.TarError, EOFError, OSError) as error:
            raise _no_layout(path) from error
        if "oci-layout" not in self.members:
            raise _no_layout(path)

    def read(self, name: str, limit: int) -> bytes:
        member = self.members.get(name)
        if member is None:
            return b""
        with tarfile.open(self.path) as tar:
            stream = tar.extractfile(member)
            return b"" if stream is None else stream.read(limit + 1)


def _no_layout(path: Path) -> BadInput:
    hint = (
        "name a folder or .tar that `nbfed build --output` wrote; other archives: skopeo copy ... oci:FOLDER"
    )
    return BadInput("This is no OCI image layout.", where=str(path), hint=hint)
