"""One registry: manifests and blobs of its repositories (OCI distribution specification 1.1)."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ..errors import BlobDamaged
from ..meter import Progress
from ..shapes import INDEX, MANIFEST, Attachment, Content, Descriptor, digest_of
from . import referrers, uploading
from .authorization import Scope, pulling, pushing
from .content import new_hash, open_blob
from .reading import Source
from .reference import DOCKER_HUB
from .session import Session
from .transport import PATIENT, Answer, Patience, Request
from .uploading import Outcome, silent

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_ACCEPTED = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST))
_BLOB_WAITS = (0.05, 0.2, 0.5)  # seconds before a manifest is sent again
_HUB_NAMES = frozenset({"index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manifest or index: its exact bytes and what they are."""

    data: bytes = field(repr=False)
    media_type: str
    digest: str


class Registry:
    """A registry by its host (and port), ``docker.io`` for Docker Hub; safe to use from several threads.

    Plain HTTP only on this machine. Proxies, certificates and credentials are those of the environment:
    ``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``, ``DOCKER_CONFIG``, ``REGISTRY_AUTH_FILE``.

    Every method may raise RegistryUnreachable, RegistryDenied, RepositoryUnknown, RegistryBusy,
    RegistryFailed, RegistryFull and, for names that the registry does not accept, ReferenceInvalid.
    """

    def __init__(
        self, host: str, *, root_certificates: Path | None = None, patience: Patience = PATIENT
    ) -> None:
        name = host.lower().rstrip("/")
        self.name = DOCKER_HUB if name in _HUB_NAMES else name
        self._session = Session(self.name, root_certificates, patience)

    def __repr__(self) -> str:
        return f"Registry({self.name!r})"

    def manifest(self, repository: str, reference: str) -> Fetched:
        """The manifest or index with this tag or digest.

        Raises:
            RepositoryUnknown: there is none.
            BlobDamaged: its bytes do not have the digest asked for.
        """
        answer = self._manifest("GET", repository, reference, pulling(repository))
        return self._fetched(self._session.check(answer, repository, "pull from", 200), repository, reference)

    def find_manifest(self, repository: str, reference: str, *, writing: bool = False) -> Fetched | None:
        """The manifest or index with this tag or digest, or None; ``writing``: a push is to follow."""
        answer = self._manifest("GET", repository, reference, _scope(repository, writing))
        if answer.status == 404:
            return None
        return self._fetched(self._session.check(answer, repository, "pull from", 200), repository, reference)

    def find_digest(self, repository: str, reference: str, *, writing: bool = False) -> str | None:
        """The digest of the manifest with this tag, or None; its bytes are not fetched where that can be."""
        answer = self._manifest("HEAD", repository, reference, _scope(repository, writing))
        if answer.status == 404:
            return None
        self._session.check(answer, repository, _action(writing), 200)
        found = answer.headers.get("Docker-Content-Digest")
        return found or self.manifest(repository, reference).digest

    def blob(self, repository: str, digest: str) -> BinaryIO:
        """The blob as a stream, which raises BlobDamaged at its end where the digest differs."""
        return open_blob(self._session, repository, digest)

    def has_blob(self, repository: str, digest: str, *, writing: bool = False) -> bool:
        """Whether the repository has the blob; ``writing``: a push is to follow.

        A registry that was killed can keep a blob that it answers 500 for, until it is pushed once more: a
        push takes it for missing.
        """
        path, scope = f"/v2/{repository}/blobs/{digest}", _scope(repository, writing)
        answer = self._session.send(Request("HEAD", path), scope)
        good = (200, 404, 500) if writing else (200, 404)
        return self._session.check(answer, repository, _action(writing), *good).status == 200

    def push_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        content: Content,
        *,
        mount_from: Sequence[str] = (),
        progress: Progress = silent,
    ) -> Outcome:
        """Put the blob into the repository: nothing to do, mounted from another repository, or uploaded.

        Raises:
            BlobDamaged: the content is not what the descriptor says; nothing is stored.
        """
        if self.has_blob(repository, descriptor.digest, writing=True):
            Source(descriptor, content, progress).tell("present")
            return "present"
        return uploading.put(self._session, repository, descriptor, content, mount_from, progress)

    def push_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> str:
        """Store a manifest under a tag or its own digest; the digest. Its blobs must be there."""
        self._put_manifest(repository, reference, data, media_type)
        return digest_of(data)

    def referrers(self, repository: str, digest: str) -> tuple[Descriptor, ...]:
        """What refers to a manifest, such as SBOMs and signatures ("Listing Referrers")."""
        return referrers.listed(self._session, self.find_manifest, repository, digest)

    def push_attachment(self, repository: str, attachment: Attachment) -> str:
        """Store a manifest with the blobs that it brings, by tag or digest; its digest."""
        for descriptor, content in attachment.brought:
            self.push_blob(repository, descriptor, content)
        return self.push_attached_manifest(repository, attachment)

    def push_attached_manifest(self, repository: str, attachment: Attachment) -> str:
        """Store a manifest whose blobs are there, and see that its subject leads to it; its digest."""
        answer = self._put_manifest(
            repository, attachment.tag or attachment.digest, attachment.manifest, MANIFEST
        )
        if "subject" in json.loads(attachment.manifest) and "OCI-Subject" not in answer.headers:
            referrers.remember(self.find_manifest, self._put_manifest, repository, attachment)
        return attachment.digest

    def _put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> Answer:
        """Store a manifest.

        A registry that writes its links in place (registry:2) does not see a blob for a moment when another
        thread or process pushes the same one; it is asked again.
        """
        path = f"/v2/{repository}/manifests/{reference}"
        request = Request("PUT", path, {"Content-Type": media_type}, data)
        answer = self._session.send(request, pushing(repository))
        for seconds in _BLOB_WAITS:
            if answer.status not in (400, 404) or b"BLOB_UNKNOWN" not in answer.data:
                break
            time.sleep(seconds)
            answer = self._session.send(request, pushing(repository))
        return self._session.check(answer, repository, "push to", 200, 201, 202)

    def _manifest(self, method: str, repository: str, reference: str, scope: Scope) -> Answer:
        path = f"/v2/{repository}/manifests/{reference}"
        return self._session.send(Request(method, path, {"Accept": _ACCEPTED}), scope)

    def _fetched(self, answer: Answer, repository: str, reference: str) -> Fetched:
        asked = ":" in reference
        hashed = new_hash(reference if asked else "sha256:")
        hashed.update(answer.data)
        digest = f"{hashed.name}:{hashed.hexdigest()}"
        if asked and digest != reference:
            raise BlobDamaged(
                f"{self.name} sent another manifest than {reference[:19]}",
                where=f"{self.name}/{repository}",
                hint="try again; a proxy on the way may have changed it",
            )
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return Fetched(answer.data, media_type, digest)


def connections(root_certificates: Path | None) -> Callable[[str], Registry]:
    """Gives the registry of a host: one for each host, made when first asked for."""
    return functools.cache(lambda host: Registry(host, root_certificates=root_certificates))


def _scope(repository: str, writing: bool) -> Scope:
    return pushing(repository) if writing else pulling(repository)


def _action(writing: bool) -> str:
    return "push to" if writing else "pull from"
