"""HTTP as registries need it: back-off, redirections without credentials, answers of bounded size."""

from __future__ import annotations

import ipaddress
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from .failures import unreachable
from .trust import trusted

if TYPE_CHECKING:
    import urllib3

Found = TypeVar("Found", bound="urllib3.BaseHTTPResponse | Answer")

Body = bytes | Callable[[], Iterable[bytes]] | None
"""What is sent: bytes, or what makes an iterable of them anew for every attempt."""

LARGEST_ANSWER = 16 << 20
CONNECT_SECONDS = 10.0
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 60.0  # seconds that a registry may ask for with Retry-After
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Patience:
    """How often something is tried, and how long is waited.

    Attributes:
        first, longest: seconds between two attempts. answer: seconds until a registry answers.
        commit: seconds until it has checked and stored all bytes of a blob.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 15.0
    answer: float = 60.0
    commit: float = 600.0

    def seconds(self, failures: int, asked: str | None = None) -> float | None:
        """The wait after so many failures; None where it would be too long.

        ``asked`` is a ``Retry-After`` in seconds (RFC 9110, section 10.2.3); a date is not honoured.
        """
        if asked is not None and asked.strip().isdigit():
            return None if float(asked) > LONGEST_WAIT else float(asked) + random.uniform(0, self.first)
        longest = min(self.longest, self.first * 2 ** (failures - 1))
        return random.uniform(longest / 2, longest)


PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; ``url`` may be a path where the session knows the rest.

    ``seconds``: until there is an answer, where that takes longer than one's patience.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = None
    attempts: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; ``headers`` by any case, ``url`` is what answered after redirections."""

    status: int
    headers: Mapping[str, str]
    data: bytes
    url: str


def is_loopback(host: str) -> bool:
    """Whether ``host[:port]`` is this machine: ``localhost`` or a loopback address."""
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def origin(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


class Transport:
    """Requests to a registry and to the servers it refers to; held: open connections."""

    def __init__(self, host: str, root_certificates: Path | None, patience: Patience) -> None:
        self.patience = patience
        self._host = host
        self._root_certificates = root_certificates
        self._pools: dict[str, Any] = {}
        self._answered = False

    def send(self, request: Request) -> Answer:
        """The answer, whatever its status, after as many attempts as it takes.

        Raises:
            RegistryUnreachable, RegistryFailed: there is no answer.
        """
        return self._tried(lambda: _whole(*self._request(request)), request.attempts)

    def stream(self, request: Request) -> urllib3.BaseHTTPResponse | Answer:
        """An open response of status 200 or 206; else the answer as :meth:`send` gives it."""

        def once() -> urllib3.BaseHTTPResponse | Answer:
            response, url = self._request(request)
            return response if response.status in (200, 206) else _whole(response, url)

        return self._tried(once, request.attempts)

    def _tried(self, once: Callable[[], Found], attempts: int | None) -> Found:
        import urllib3

        attempts = attempts or self.patience.attempts
        failures = 1
        while True:
            wait: float | None = None
            try:
                found = once()
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if failures < attempts and self._may_pass(error):
                    wait = self.patience.seconds(failures)
                if wait is None:
                    raise unreachable(self._host, error) from error
            else:
                status, headers = found.status, found.headers
                if status in RETRIED and failures < attempts:
                    wait = self.patience.seconds(failures, headers.get("Retry-After"))
                if wait is None:
                    return found
            time.sleep(wait)
            failures += 1

    def _may_pass(self, error: Exception) -> bool:
        """Whether trying again may help: not where nothing ever answered, nor for a certificate."""
        import urllib3

        if isinstance(error, urllib3.exceptions.SSLError):
            return "CERTIFICATE_VERIFY" not in str(error).upper()
        return self._answered or not isinstance(
            error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ProxyError
        )

    def _request(self, request: Request) -> tuple[urllib3.BaseHTTPResponse, str]:
        """The response after redirections, and the address that gave it."""
        for _ in range(_MOST_REDIRECTS):
            response = self._once(request)
            target = _redirection(request, response)
            if target is None:
                return response, request.url
            response.drain_conn()
            headers = dict(request.headers)
            if origin(target) != origin(request.url):
                headers.pop("Authorization", None)
            request = replace(request, url=target, headers=headers)
        return self._once(request), request.url

    def _once(self, request: Request) -> urllib3.BaseHTTPResponse:
        import urllib3

        response: urllib3.BaseHTTPResponse = self._pool(request.url).request(
            request.method,
            request.url,
            headers=request.headers,
            body=request.body() if callable(request.body) else request.body,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=request.seconds or self.patience.answer),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        self._answered = True
        return response

    def _pool(self, url: str) -> Any:
        import urllib3

        from .. import http

        found = self._pools.get(origin(url))
        if found is None:
            parts = urlsplit(url)
            if parts.scheme == "http" and is_loopback(parts.netloc):
                found = urllib3.PoolManager(maxsize=8)
            else:
                found = http.pool(origin(url), trusted(parts.netloc, self._root_certificates))
            found = self._pools.setdefault(origin(url), found)
        return found


def _whole(response: urllib3.BaseHTTPResponse, url: str) -> Answer:
    data = response.read(LARGEST_ANSWER)
    if response.read(1):
        response.close()
    response.release_conn()
    return Answer(response.status, response.headers, data, url)


def _redirection(request: Request, response: urllib3.BaseHTTPResponse) -> str | None:
    """Where to go on: never from HTTPS to HTTP, and a body is sent again only where the status says so."""
    location = response.headers.get("Location")
    if response.status not in _REDIRECTED or location is None:
        return None
    if request.method not in ("GET", "HEAD") and response.status not in (307, 308):
        return None
    target = urljoin(request.url, location)
    parts = urlsplit(target)
    here = is_loopback(parts.netloc) and is_loopback(urlsplit(request.url).netloc)
    return target if parts.scheme == "https" or (parts.scheme == "http" and here) else None
