"""The wheels of a lock, on this machine and verified: from a folder as they are, else downloaded once."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from ..locking.shapes import LockedWheel
from .cache import Cache
from .errors import WheelDamaged, WheelUnreachable
from .meter import Meter, Progress

if TYPE_CHECKING:
    import urllib3

TRIES = 5
_PIECE = 1 << 18
_LONGEST_WAIT = 30.0  # seconds, whatever a server asks for
_LATER = {408, 425, 429, 500, 502, 503, 504}
_HINT_NETWORK = "check the network and HTTPS_PROXY, or give a folder that has the wheel with --wheels"
_HINT_TRUST = "set SSL_CERT_FILE to the certificates (PEM) that your institution's network needs"
_HINT_DAMAGED = "write the lock again, or get the wheel from a source you trust"


def fetch(wheel: LockedWheel, cache: Cache, progress: Progress) -> Path:
    """The wheel's file, its SHA-256 checked.

    A ``file://`` wheel is used where it is, and hashed only when it is new or has changed since.

    Raises:
        WheelUnreachable: it cannot be had.
        WheelDamaged: it has another size or hash than the lock says; nothing is kept.
        StorageFull: the cache has no room.
    """
    meter = Meter(progress, f"{wheel.name} {wheel.version}", "downloading", wheel.size)
    return obtain(wheel, cache, meter.add)


def obtain(wheel: LockedWheel, cache: Cache, received: Callable[[int], None]) -> Path:
    """As :func:`fetch`; ``received`` is told how many bytes came, negative where a download starts again."""
    if urlsplit(wheel.url).scheme == "file":
        return _local(wheel, cache)
    found = cache.find("wheels", _name(wheel))
    if found is not None and found.stat().st_size == wheel.size:
        return found
    with cache.making("wheels", _name(wheel)) as making, making.open("wb") as out:
        _Download(wheel, out, received).run()
    return cache.find("wheels", _name(wheel)) or _vanished(wheel)


def drop_damaged(wheel: LockedWheel, cache: Cache) -> bool:
    """Drop a downloaded wheel from the cache if it is not what was downloaded; whether that was so."""
    path = cache.find("wheels", _name(wheel))
    if path is None:
        return False
    with path.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() == wheel.sha256:
            return False
    cache.drop("wheels", _name(wheel))
    return True


def _name(wheel: LockedWheel) -> str:
    return f"{wheel.sha256}.whl"


def _vanished(wheel: LockedWheel) -> Path:
    raise WheelUnreachable(
        f"{wheel.filename} went from the cache as soon as it was there.",
        hint="do not prune the cache while images are built",
    )


def _local(wheel: LockedWheel, cache: Cache) -> Path:
    from urllib.request import url2pathname

    path = Path(url2pathname(urlsplit(wheel.url).path))
    try:
        found = path.stat()
    except OSError as error:
        raise _unreachable(wheel, error.strerror or str(error)) from error
    if found.st_size != wheel.size:
        raise _damaged(wheel, f"it has {found.st_size} bytes, the lock says {wheel.size}")
    state = f"{path}\n{found.st_size}\n{found.st_mtime_ns}\n{found.st_ino}\n{wheel.sha256}"
    name = f"verified-{hashlib.sha256(state.encode('utf-8', 'surrogatepass')).hexdigest()}"
    if cache.find("documents", name) is None:
        with path.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != wheel.sha256:
                raise _damaged(wheel, "its SHA-256 is not the one in the lock")
        with cache.making("documents", name):
            pass  # that it exists says that the file was verified in this state
    return path


class _Download:
    """One wheel on its way into ``out``: goes on where it was broken off, where the server can."""

    def __init__(self, wheel: LockedWheel, out: BinaryIO, received: Callable[[int], None]) -> None:
        self._wheel = wheel
        self._out = out
        self._received = received
        self._hash = hashlib.sha256()
        self._done = 0

    def run(self) -> None:
        import urllib3

        problem = ""
        for attempt in range(TRIES):
            try:
                with _response(self._wheel.url, self._done) as response:
                    if response.status in {200, 206}:
                        return self._take(response)
                    problem = f"the server answers {response.status} {response.reason or ''}".rstrip()
                    if response.status not in _LATER:
                        break
                    wait = _retry_after(response)
            except urllib3.exceptions.HTTPError as error:
                problem, wait = _reason(error), 0.0
                if "CERTIFICATE_VERIFY_FAILED" in problem:
                    break
            if attempt < TRIES - 1:
                time.sleep(max(wait, 0.2 * 2**attempt))
        raise _unreachable(self._wheel, problem)

    def _take(self, response: urllib3.BaseHTTPResponse) -> None:
        if not self._continues(response):
            self._received(-self._done)
            self._hash, self._done = hashlib.sha256(), 0
            self._out.seek(0)
            self._out.truncate()
        while piece := response.read1(_PIECE, decode_content=False):
            self._done += len(piece)
            if self._done > self._wheel.size:
                break
            self._out.write(piece)
            self._hash.update(piece)
            self._received(len(piece))
        if self._done != self._wheel.size or self._hash.hexdigest() != self._wheel.sha256:
            raise _damaged(
                self._wheel, "what the server sends has another size or SHA-256 than the lock says"
            )

    def _continues(self, response: urllib3.BaseHTTPResponse) -> bool:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        return response.status == 206 and start == str(self._done)


def _response(url: str, start: int) -> urllib3.BaseHTTPResponse:
    import urllib3

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    once = urllib3.Retry(total=None, connect=0, read=0, other=0, status=0, redirect=5)
    parts = urlsplit(url)
    connections = _connections(f"{parts.scheme}://{parts.netloc}")
    return connections.request("GET", url, headers=headers, retries=once, preload_content=False)


@functools.cache
def _connections(origin: str) -> urllib3.PoolManager:
    from .http import pool

    return pool(origin)


def _retry_after(response: urllib3.BaseHTTPResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_WAIT) if text.isdigit() else 0.0


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)


def _unreachable(wheel: LockedWheel, problem: str) -> WheelUnreachable:
    hint = _HINT_TRUST if "CERTIFICATE_VERIFY_FAILED" in problem else _HINT_NETWORK
    return WheelUnreachable(f"{wheel.filename} cannot be had: {problem}.", where=wheel.url, hint=hint)


def _damaged(wheel: LockedWheel, problem: str) -> WheelDamaged:
    return WheelDamaged(
        f"{wheel.filename} is not the file in the lock: {problem}.", where=wheel.url, hint=_HINT_DAMAGED
    )
