"""The image that ours stand on: its manifest and configuration are read, its layers stay where they are."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import base_python
from .base_python import LABEL, Python
from .cache import Cache
from .errors import BaseUnsuitable
from .registry import Reference, Registry, RegistryContent, parse
from .registry.client import DOCKER_LIST, DOCKER_MANIFEST
from .shapes import INDEX, LAYER, MANIFEST, Descriptor, Layer, Platform, digest_of

OLDEST_PYTHON = (3, 11)
LARGEST_CONFIG = 8 << 20
_PLAIN = "application/vnd.oci.image.layer.v1.tar"
_LAYER_TYPES = {
    LAYER: LAYER,
    _PLAIN: _PLAIN,
    f"{_PLAIN}+zstd": f"{_PLAIN}+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": _PLAIN,
}


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image by digest, with what is needed to build on it."""

    reference: str
    platform: Platform
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]
    python: Python


@dataclass(frozen=True, slots=True)
class _Document:
    """What is remembered of an image: the exact bytes of its manifest and configuration, as text."""

    manifest: str
    config: str
    python: Python | None = None


def default_base(python: str) -> str:
    """The base image for an author's Python (``3.11``): the official slim image."""
    return f"docker.io/library/python:{python}-slim"


def resolve(
    reference: str, platform: Platform, cache: Cache, connect: Callable[[str], Registry]
) -> BaseImage:
    """The image that ``reference`` names, for ``platform``; by a digest that was seen before, from the cache.

    Args:
        reference: a name with a tag or, for the same image each time, a digest.
        platform: which one of an index is taken.
        cache: manifests and configurations by digest, and the Python that was found in them.
        connect: the registry with a host (and port).

    Raises:
        ReferenceInvalid: not a legal name.
        BaseUnsuitable: no image, no Python 3.11 or newer, or made for another platform.
        BlobDamaged: the registry's bytes do not have their digests.
        RegistryUnreachable, RegistryDenied, RepositoryUnknown, RegistryBusy, RegistryFailed: no answer.
    """
    named = parse(reference)
    known = _remembered(cache, named.digest, platform) if named.digest else None
    document = known or _fetched(connect(named.registry), named, platform)
    digest = digest_of(document.manifest.encode())
    known = known or _remembered(cache, digest, platform)  # a tag that names the same image as before
    document = known or document
    exact = Reference(named.registry, named.repository, None, digest)
    config = json.loads(document.config)
    _check_platform(config, platform, exact)
    layers = _layers(document, config, exact, connect(named.registry))
    python = document.python or base_python.told(config) or _listed(config, layers, exact)
    _check_python(python, exact)
    if known is None:
        complete = _Document(document.manifest, document.config, python)
        for name in {digest, named.digest or digest}:
            _remember(cache, name, platform, complete)
    return BaseImage(str(exact), platform, config, layers, python)


def _fetched(registry: Registry, named: Reference, platform: Platform) -> _Document:
    fetched = registry.manifest(named.repository, named.wanted)
    manifest = _parsed(fetched.data, named)
    if _kind(manifest, fetched.media_type) in (INDEX, DOCKER_LIST):
        chosen = _chosen(manifest, platform, named)
        fetched = registry.manifest(named.repository, chosen)
        manifest = _parsed(fetched.data, named)
    if _kind(manifest, fetched.media_type) not in (MANIFEST, DOCKER_MANIFEST):
        raise _unsuitable("is not an image", named, f"the registry calls it {fetched.media_type}")
    with registry.blob(named.repository, str(manifest["config"]["digest"])) as stream:
        config = stream.read(LARGEST_CONFIG)
        if stream.read(1):
            raise _unsuitable("has no proper configuration", named, "it is far too large")
    return _Document(fetched.data.decode(), config.decode())


def _parsed(data: bytes, named: Reference) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise _unsuitable("is not an image", named, "its manifest is not JSON") from error
    if not isinstance(found, dict):
        raise _unsuitable("is not an image", named, "its manifest is not a JSON object")
    return found


def _kind(manifest: Mapping[str, Any], media_type: str) -> str:
    return str(manifest.get("mediaType") or media_type)


def _chosen(index: Mapping[str, Any], platform: Platform, named: Reference) -> str:
    offered: list[str] = []
    for item in index.get("manifests") or []:
        made_for = item.get("platform") or {}
        system, architecture = made_for.get("os"), made_for.get("architecture")
        if (system, architecture) == (platform.os, platform.architecture):
            return str(item["digest"])
        if system not in (None, "unknown"):
            offered.append(f"{system}/{architecture}")
    there = ", ".join(sorted(set(offered))) or "none"
    raise _unsuitable(f"is not made for {platform}", named, f"platforms it is made for: {there}")


def _check_platform(config: Mapping[str, Any], platform: Platform, exact: Reference) -> None:
    found = f"{config.get('os', '?')}/{config.get('architecture', '?')}"
    if found != str(platform):
        hint = f"it is made for {found}; choose a base image or a platform that fit each other"
        raise _unsuitable(f"is not made for {platform}", exact, hint)


def _layers(
    document: _Document, config: Mapping[str, Any], exact: Reference, registry: Registry
) -> tuple[Layer, ...]:
    described = json.loads(document.manifest).get("layers") or []
    diff_ids = (config.get("rootfs") or {}).get("diff_ids") or []
    if not described or len(described) != len(diff_ids):
        raise _unsuitable("is not an image", exact, "manifest and configuration name different layers")
    found = []
    for number, (blob, diff_id) in enumerate(zip(described, diff_ids, strict=True), 1):
        media_type = _LAYER_TYPES.get(str(blob.get("mediaType")))
        if media_type is None:
            raise _unsuitable("has a layer of an unknown kind", exact, str(blob.get("mediaType")))
        descriptor = Descriptor(media_type, str(blob["digest"]), int(blob["size"]))
        content = RegistryContent(registry, exact.repository, descriptor.digest)
        title = f"base layer {number} of {len(described)}"
        found.append(Layer(descriptor, str(diff_id), 0, title, content))
    return tuple(found)


def _listed(config: Mapping[str, Any], layers: Sequence[Layer], exact: Reference) -> Python:
    hint = f'choose an image with Python, or give it a label: {LABEL}="/usr/bin/python3:3.11"'
    if any(layer.descriptor.media_type.endswith("zstd") for layer in layers):
        raise _unsuitable("does not say which Python it has, and cannot be searched (zstd)", exact, hint)
    try:
        found = base_python.listed(config, layers)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise _unsuitable("has a layer that cannot be read", exact, str(error)) from error
    if found is None:
        raise _unsuitable("has no Python whose version can be told", exact, hint)
    return found


def _check_python(python: Python, exact: Reference) -> None:
    version = tuple(int(part) for part in python.version.split("."))
    if version < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise _unsuitable(f"has Python {python.version}", exact, f"choose one with Python {oldest} or newer")


def _unsuitable(what: str, named: Reference, hint: str) -> BaseUnsuitable:
    return BaseUnsuitable(f"the base image {what}", where=str(named), hint=hint)


def _document_name(digest: str, platform: Platform) -> str:
    return f"base-{hashlib.sha256(f'{digest} {platform}'.encode()).hexdigest()[:40]}.json"


def _remember(cache: Cache, digest: str, platform: Platform, document: _Document) -> None:
    with cache.making("documents", _document_name(digest, platform)) as path:
        path.write_text(json.dumps(asdict(document) | {"digest": _digest(document)}), "utf-8")


def _remembered(cache: Cache, digest: str, platform: Platform) -> _Document | None:
    """What is known of an image; None where nothing is, or where the bytes are not those of the digests."""
    path = cache.find("documents", _document_name(digest, platform))
    if path is None:
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        document = _Document(found["manifest"], found["config"], Python(**found["python"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return document if _digest(document) == found.get("digest") else None


def _digest(document: _Document) -> str:
    """Over both documents, since the cache's disk may have changed them."""
    return digest_of(f"{document.manifest}\n{document.config}".encode())
