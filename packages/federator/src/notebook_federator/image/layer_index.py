"""Which layers a registry has, by what they were made from: one small artifact each, under a tag of its own.

The artifact names the layer as its blob, so the registry's garbage collection leaves it. Whoever may push to
the repository may write the index: it is trusted as far as the images beside it are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .errors import RegistryDenied, RepositoryUnknown
from .registry import Registry, RegistryContent
from .registry.referrers import artifact
from .shapes import Attachment, Descriptor, Layer

ARTIFACT = "application/vnd.notebook-federator.layer.v1"
_KEY = "org.notebook-federator.layer.key"
_DIFF_ID = "org.notebook-federator.layer.diff-id"
_UNPACKED = "org.notebook-federator.layer.unpacked"
_TITLE = "org.opencontainers.image.title"


def tag(key: str) -> str:
    """The tag of a layer with this key (hexadecimal digits)."""
    return f"layer-{key[:32]}"


def find(registry: Registry, repository: str, key: str) -> Layer | None:
    """The layer that was made from ``key``, its content in ``repository``; None where it is not known.

    Raises:
        RegistryUnreachable, RegistryBusy, RegistryFailed: there is no answer. A repository that is not
            there, or may not be read, knows no layer.
    """
    try:
        fetched = registry.find_manifest(repository, tag(key))
    except (RegistryDenied, RepositoryUnknown):
        return None
    if fetched is None:
        return None
    try:
        return _layer(json.loads(fetched.data), key, registry, repository)
    except (ValueError, KeyError, TypeError, IndexError):  # a tag of another origin
        return None


def record(registry: Registry, repository: str, layer: Layer) -> None:
    """Make ``layer``, whose blob is in ``repository``, known under its key."""
    registry.push_attachment(repository, entry(layer))


def entry(layer: Layer) -> Attachment:
    """The artifact that makes a layer known."""
    told = {
        _KEY: layer.key,
        _DIFF_ID: layer.diff_id,
        _UNPACKED: str(layer.unpacked),
        _TITLE: layer.title,
    }
    return replace(artifact(ARTIFACT, layer.descriptor, told), tag=tag(layer.key))


def _layer(manifest: Mapping[str, Any], key: str, registry: Registry, repository: str) -> Layer | None:
    told, blob = manifest["annotations"], manifest["layers"][0]
    if told[_KEY] != key:
        return None
    descriptor = Descriptor(str(blob["mediaType"]), str(blob["digest"]), int(blob["size"]))
    content = RegistryContent(registry, repository, descriptor.digest)
    return Layer(
        descriptor, str(told[_DIFF_ID]), int(told[_UNPACKED]), str(told.get(_TITLE, "")), content, key
    )
