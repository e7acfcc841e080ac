"""Blobs of a registry as streams that check their own digest."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from nbfed_site.contracts import NbfedError

from ..errors import BlobDamaged
from .authorization import pulling
from .failures import unreachable
from .session import Session
from .transport import Answer, Request

if TYPE_CHECKING:
    from .client import Registry

_MOST_BREAKS = 5


@dataclass(frozen=True, slots=True)
class RegistryContent:
    """Bytes in a registry, read from there each time."""

    registry: Registry
    repository: str
    digest: str

    def open(self) -> BinaryIO:
        """A new stream from the first byte; it raises BlobDamaged at its end where the digest differs."""
        return self.registry.blob(self.repository, self.digest)


def open_blob(session: Session, repository: str, digest: str) -> BinaryIO:
    """The blob as a stream that goes on after broken connections and checks the digest at its end."""
    return cast(BinaryIO, io.BufferedReader(_Blob(session, repository, digest), 256 << 10))


def new_hash(digest: str) -> Any:
    """A hash object of the digest's algorithm (OCI image specification, "Digests")."""
    return hashlib.new(digest.partition(":")[0])


def damaged(digest: str, where: str) -> BlobDamaged:
    """The error for bytes that are not those of ``digest``."""
    return BlobDamaged(f"the bytes of {digest[:19]} do not have this digest", where=where, hint="try again")


class _Blob(io.RawIOBase):
    def __init__(self, session: Session, repository: str, digest: str) -> None:
        self._session = session
        self._repository = repository
        self._digest = digest
        self._hash = new_hash(digest)
        self._position = 0
        self._breaks = 0
        self._response = self._request()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        self._hash.update(data)
        self._position += len(data)
        if not data and buffer and f"{self._hash.name}:{self._hash.hexdigest()}" != self._digest:
            raise damaged(self._digest, f"{self._session.name}/{self._repository}")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed and hasattr(self, "_response"):
            self._response.close()
        super().close()

    def _read(self, size: int) -> bytes:
        import urllib3

        while True:
            try:
                found: bytes = self._response.read(size)
                return found
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self._breaks += 1
                if self._breaks > _MOST_BREAKS:
                    raise unreachable(self._session.name, error) from error
                self._response = self._request()

    def _request(self) -> Any:
        """The blob from the present position on, whether the registry knows ranges (RFC 9110) or not."""
        headers = {"Range": f"bytes={self._position}-"} if self._position else {}
        path = f"/v2/{self._repository}/blobs/{self._digest}"
        found = self._session.stream(Request("GET", path, headers), pulling(self._repository))
        if isinstance(found, Answer):
            raise self._refused(found)
        if found.status == 200:
            _skip(found, self._position)
        return found

    def _refused(self, answer: Answer) -> NbfedError:
        try:
            self._session.check(answer, self._repository, "pull from", 200)
        except NbfedError as error:
            return error
        raise AssertionError(answer.status)


def _skip(response: Any, count: int) -> None:
    while count > 0:
        found = response.read(min(count, 1 << 20))
        if not found:
            return
        count -= len(found)
