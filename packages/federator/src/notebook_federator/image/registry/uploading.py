"""A blob into a repository: mounted, whole, or in chunks that go on after a broken connection.

OCI distribution specification 1.1, "Pushing blobs": POST then PUT, chunked PATCH, cross-repository mounts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import urlencode, urljoin, urlsplit

from nbfed_site.contracts import NbfedError

from ..errors import RegistryDenied, RegistryFailed, RegistryUnreachable
from ..meter import Progress
from ..shapes import Content, Descriptor
from .authorization import pulling, pushing
from .reading import Source
from .session import Session
from .transport import LONGEST_WAIT, RETRIED, Answer, Request

Outcome = Literal["present", "mounted", "uploaded"]

CHUNK = 32 << 20
LARGEST_CHUNK = 96 << 20  # some proxies let no more than 100 MB pass
SHORT_SECONDS = 3.0  # a chunk that took less is followed by a larger one
SMALL = 16 << 20  # bytes up to which a blob goes in one request
SMALLEST_CHUNK = 4 << 20
_RANGE = re.compile(r"(?:bytes[= ])?0-(\d+)")


def silent(_: Mapping[str, Any]) -> None:
    """Nobody is told."""


def put(  # noqa: PLR0913, PLR0917 - called from one place
    session: Session,
    repository: str,
    descriptor: Descriptor,
    content: Content,
    mount_from: Sequence[str],
    progress: Progress,
) -> Outcome:
    """Mount the blob from one of the repositories, else upload it.

    Raises:
        BlobDamaged: the content is not what the descriptor says; nothing is stored.
    """
    upload = _Upload(session, repository, descriptor, content, progress)
    started: Answer | None = None
    for source in mount_from:
        if started is not None:
            upload.cancel(started)
        started = mount(session, repository, descriptor.digest, source)
        if started is not None and started.status == 201:
            upload.source.tell("mounted")
            return "mounted"
    try:
        upload.run(started)
    finally:
        upload.source.close()
    upload.source.tell("uploaded")
    return "uploaded"


def mount(session: Session, repository: str, digest: str, source: str) -> Answer | None:
    """The answer to a mount: 201 where it worked, 202 where an upload has begun instead; None if refused."""
    query = urlencode({"mount": digest, "from": source})
    scopes = (pushing(repository), pulling(source))
    with suppress(RegistryDenied):
        answer = session.send(Request("POST", f"/v2/{repository}/blobs/uploads/?{query}", _NO_BODY), *scopes)
        return answer if answer.status in (201, 202) else None
    return None


_NO_BODY = {"Content-Length": "0"}


class _Gone(Exception):
    """The registry no longer knows the upload, or will not go on with it: begin again."""


class _Upload:
    def __init__(
        self,
        session: Session,
        repository: str,
        descriptor: Descriptor,
        content: Content,
        progress: Progress,
    ) -> None:
        self.source = Source(descriptor, content, progress)
        self._session = session
        self._repository = repository
        self._digest = descriptor.digest
        self._size = descriptor.size
        self._chunk = CHUNK
        self._limited = False
        self._whole_only = descriptor.size <= SMALL
        self._failures = 0

    def run(self, started: Answer | None) -> None:
        """Upload all; from the first byte again where the registry has lost what it had."""
        while True:
            begun, started = started or self._start(), None
            location = self._location(begun)
            try:
                if self._whole_only:
                    self._commit(location, 0)
                else:
                    self._commit(self._chunks(begun, location), self._size)
            except _Gone:
                if self._is_there():
                    return
            except BaseException:
                self.cancel(begun)
                raise
            else:
                return

    def cancel(self, begun: Answer) -> None:
        """Tell the registry to forget an upload, if it listens."""
        with suppress(NbfedError, _Gone):
            self._send(Request("DELETE", self._location(begun), attempts=1))

    def _start(self) -> Answer:
        answer = self._send(Request("POST", f"/v2/{self._repository}/blobs/uploads/", _NO_BODY))
        return self._session.check(answer, self._repository, "push to", 202)

    def _chunks(self, begun: Answer, location: str) -> str:
        """Send everything; where the upload is to be committed."""
        least = begun.headers.get("OCI-Chunk-Min-Length", "")
        self._chunk = max(self._chunk, int(least) if least.isdigit() else 0)
        offset = 0
        while offset < self._size:
            end, began = min(offset + self._chunk, self._size), time.monotonic()
            answer = self._patch(location, offset, end)
            if answer is not None and answer.status in (201, 202, 204):
                location, received = self._location(answer, location), _received(answer, end)
                self._failures = 0 if received > offset else self._failed(answer)
                offset = received
                self._grow(time.monotonic() - began)
            else:
                location, offset = self._resumed(location, answer)
        return location

    def _grow(self, seconds: float) -> None:
        if seconds < SHORT_SECONDS and not self._limited:
            self._chunk = max(self._chunk, min(self._chunk * 2, LARGEST_CHUNK))

    def _patch(self, location: str, start: int, end: int) -> Answer | None:
        """The answer to one chunk; None where the connection broke."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - start),
            "Content-Range": f"{start}-{end - 1}",
        }
        request = Request("PATCH", location, headers, lambda: self.source.blocks(start, end), attempts=1)
        try:
            return self._send(request)
        except (RegistryFailed, RegistryUnreachable) as error:
            self._failed(None, error)
            return None

    def _resumed(self, location: str, answer: Answer | None) -> tuple[str, int]:
        """Where to go on after a chunk that failed ("Chunked upload": ``GET`` the upload's location)."""
        if answer is not None:
            self._bear(answer)
        status = self._send(Request("GET", location))
        if status.status in (200, 202, 204):
            return self._location(status, location), _received(status, 0)
        self._failed(status)
        raise _Gone

    def _bear(self, answer: Answer) -> None:
        """Wait, or change the way of sending; raises where nothing of that helps."""
        if answer.status == 413 and self._chunk > SMALLEST_CHUNK:
            self._chunk, self._limited = max(self._chunk // 4, SMALLEST_CHUNK), True
        elif answer.status in (400, 405, 501):  # no chunks, it seems
            self._whole_only = True
            self._failed(answer)
            raise _Gone
        elif answer.status in RETRIED or answer.status in (404, 416):
            self._failed(answer)
        else:
            self._session.check(answer, self._repository, "push to")

    def _commit(self, location: str, sent: int) -> None:
        """The last request, with all bytes in it that are not ``sent``."""
        joint = "&" if urlsplit(location).query else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(self._size - sent)}
        address = location + joint + urlencode({"digest": self._digest})
        longest = self._session.transport.patience.commit
        request = Request("PUT", address, headers, lambda: self.source.blocks(sent, self._size), 1, longest)
        try:
            answer = self._send(request)
        except (RegistryFailed, RegistryUnreachable) as error:
            self._failed(None, error)
            raise _Gone from None
        if answer.status in RETRIED or answer.status in (400, 404, 416):
            self._failed(answer)
            raise _Gone
        self._session.check(answer, self._repository, "push to", 201, 204)

    def _failed(self, answer: Answer | None, error: NbfedError | None = None) -> int:
        """Count a failure and wait; raises after too many without progress between them."""
        self._failures += 1
        patience = self._session.transport.patience
        asked = answer.headers.get("Retry-After") if answer is not None else None
        wait = patience.seconds(self._failures, asked)
        if self._failures >= patience.attempts or wait is None:
            if error is not None:
                raise error
            if answer is not None:
                self._session.check(answer, self._repository, "push to")
        time.sleep(min(wait or 0.0, LONGEST_WAIT))
        return self._failures

    def _is_there(self) -> bool:
        """Whether the registry has the blob after all: only the last answer may have been lost."""
        return self._send(Request("HEAD", f"/v2/{self._repository}/blobs/{self._digest}")).status == 200

    def _location(self, answer: Answer, before: str = "") -> str:
        found = answer.headers.get("Location") or before
        if not found:
            raise RegistryFailed(
                f"{self._session.name} does not say where to upload to",
                where=f"{self._session.name}/{self._repository}",
                hint="check that this address is a registry",
            )
        return urljoin(answer.url, found)

    def _send(self, request: Request) -> Answer:
        return self._session.send(request, pushing(self._repository))


def _received(answer: Answer, otherwise: int) -> int:
    """The bytes that the registry has, from ``Range: 0-LAST``; ``0-0`` means none."""
    found = _RANGE.match(answer.headers.get("Range", ""))
    if found is None:
        return otherwise
    last = int(found[1])
    return last + 1 if last else 0
