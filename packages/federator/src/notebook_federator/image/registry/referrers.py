"""What refers to an image: the referrers API, and the tags that stand in for it where it is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from nbfed_site.contracts import canonical_json

from ..shapes import EMPTY, INDEX, MANIFEST, Attachment, Descriptor, digest_of
from .authorization import pulling
from .session import Session
from .transport import Answer, Request

if TYPE_CHECKING:
    from .client import Fetched

EMPTY_CONFIG = b"{}"
_MOST_PAGES = 50
_NEXT = re.compile(r'<([^>]+)>;\s*rel="?next"?')


class FindManifest(Protocol):
    """How a manifest is looked for."""

    def __call__(self, repository: str, reference: str, *, writing: bool = False) -> Fetched | None:
        """The manifest, or None."""


PutManifest = Callable[[str, str, bytes, str], Answer]


def artifact(
    kind: str,
    layer: Descriptor,
    annotations: Mapping[str, str],
    *,
    data: bytes | None = None,
    subject: Descriptor | None = None,
) -> Attachment:
    """A manifest of one blob (OCI image specification, "Guidelines for Artifact Usage").

    Args:
        kind: the artifact's type.
        layer: the blob; ``data`` are its bytes, None where the repository has it already.
        subject: what it is about.
    """
    config = Descriptor(EMPTY, digest_of(EMPTY_CONFIG), len(EMPTY_CONFIG))
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": config.to_json(),
        "layers": [Descriptor(layer.media_type, layer.digest, layer.size).to_json()],
        "annotations": dict(annotations),
    }
    if subject is not None:
        manifest["subject"] = Descriptor(subject.media_type, subject.digest, subject.size).to_json()
    blobs = {config.digest: EMPTY_CONFIG} | ({} if data is None else {layer.digest: data})
    return Attachment(canonical_json(manifest), blobs)


def listed(session: Session, find: FindManifest, repository: str, digest: str) -> tuple[Descriptor, ...]:
    """The descriptors of all that refers to ``digest``, from the API or from the fallback tag."""
    found: list[Descriptor] = []
    path: str | None = f"/v2/{repository}/referrers/{digest}"
    for _ in range(_MOST_PAGES):
        answer = session.send(Request("GET", path or "", {"Accept": INDEX}), pulling(repository))
        if not found and 400 <= answer.status < 500 and answer.status not in (401, 403, 429):
            return _tagged(find, repository, digest)
        session.check(answer, repository, "pull from", 200)
        found += descriptors(answer.data)
        following = _NEXT.search(answer.headers.get("Link", ""))
        path = following[1] if following else None
        if path is None:
            break
    return tuple(found)


def fallback_tag(digest: str) -> str:
    """The tag of the index that stands in for the API ("Referrers Tag Schema")."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def remember(find: FindManifest, put: PutManifest, repository: str, attachment: Attachment) -> None:
    """Add ``attachment`` to the index under its subject's fallback tag, once."""
    manifest = json.loads(attachment.manifest)
    tag = fallback_tag(manifest["subject"]["digest"])
    present = find(repository, tag, writing=True)
    listed_now: list[dict[str, Any]] = _manifests(present.data) if present else []
    if any(item.get("digest") == attachment.digest for item in listed_now):
        return
    own = attachment.descriptor.to_json() | {
        "artifactType": manifest.get("artifactType") or manifest["config"]["mediaType"]
    }
    if manifest.get("annotations"):
        own["annotations"] = manifest["annotations"]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed_now, own]}
    put(repository, tag, canonical_json(index), INDEX)


def descriptors(index: bytes) -> tuple[Descriptor, ...]:
    """The manifests that an index lists; what is no index lists none."""
    return tuple(
        Descriptor(
            str(item.get("mediaType", MANIFEST)),
            str(item["digest"]),
            int(item.get("size", 0)),
            dict(item.get("annotations") or {}),
            str(item.get("artifactType", "")),
        )
        for item in _manifests(index)
        if "digest" in item
    )


def _manifests(index: bytes) -> list[dict[str, Any]]:
    try:
        return [dict(item) for item in json.loads(index).get("manifests") or []]
    except (ValueError, TypeError, AttributeError):
        return []


def _tagged(find: FindManifest, repository: str, digest: str) -> tuple[Descriptor, ...]:
    present = find(repository, fallback_tag(digest))
    return descriptors(present.data) if present else ()
