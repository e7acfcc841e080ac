"""Authorised requests to one registry, below ``/v2/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

from . import credentials
from .authorization import Authorization, Scope
from .failures import refused
from .reference import DOCKER_HUB
from .transport import Answer, Body, Patience, Transport, is_loopback

if TYPE_CHECKING:
    import urllib3

Found = TypeVar("Found")

HUB_HOST = "registry-1.docker.io"
_WRONG_SCHEME = (b"to an HTTPS server", b"to HTTPS port")


class Session:
    """A registry as ``name`` (``docker.io``, ``localhost:5000``); held: its scheme, its connections, tokens.

    Registries on this machine are spoken to over HTTP, unless they say that they want HTTPS; all others over
    HTTPS.
    """

    def __init__(self, name: str, root_certificates: Path | None, patience: Patience) -> None:
        self.name = name
        self.transport = Transport(name, root_certificates, patience)
        self._authorization = Authorization(name, lambda: credentials.find(name), self.transport)
        self._host = HUB_HOST if name == DOCKER_HUB else name
        self._scheme = "http" if is_loopback(name) else "https"

    def send(
        self,
        method: str,
        path: str,
        scopes: tuple[Scope, ...],
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        *,
        attempts: int | None = None,
        read_seconds: float | None = None,
    ) -> Answer:
        """The answer to a request to ``path`` (or a whole address, as of an upload), whatever its status."""

        def once(url: str, own: Mapping[str, str]) -> Answer:
            return self.transport.send(method, url, own, body, attempts=attempts, read_seconds=read_seconds)

        return self._authorized(path, scopes, headers, once)

    def stream(
        self, path: str, scopes: tuple[Scope, ...], headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse | Answer:
        """An open response to a GET, or a whole answer that is none of success."""
        return self._authorized(path, scopes, headers, self.transport.stream)

    def address(self, path: str) -> str:
        """``path`` as a whole address; a registry's own HTTP addresses are asked for over its scheme."""
        root = f"{self._scheme}://{self._host}"
        url = urljoin(root, path)
        parts = urlsplit(url)
        return parts._replace(scheme=self._scheme).geturl() if parts.netloc.lower() == self._host else url

    def check(self, answer: Answer, repository: str, action: str, *good: int) -> Answer:
        """The answer itself where its status is one of ``good``; else raises what it stands for."""
        if answer.status in good:
            return answer
        raise refused(answer, self.name, repository, action, self._authorization.told())

    def _authorized(
        self,
        path: str,
        scopes: tuple[Scope, ...],
        headers: Mapping[str, str] | None,
        once: Callable[[str, Mapping[str, str]], Found],
    ) -> Found:
        """What ``once`` gives, after the other scheme and the registry's challenge have had their turn."""
        challenged = False
        while True:
            url = self.address(path)
            own = self._headers(url, scopes, headers)
            found = once(url, own)
            if not isinstance(found, Answer):
                return found
            if self._scheme == "http" and found.status == 400 and any(w in found.data for w in _WRONG_SCHEME):
                self._scheme = "https"
            elif challenged or found.status != 401:
                return found
            elif self._authorization.learn(found, own.get("Authorization")):
                challenged = True
            else:
                return found

    def _headers(
        self, url: str, scopes: tuple[Scope, ...], headers: Mapping[str, str] | None
    ) -> dict[str, str]:
        own = {"User-Agent": "notebook-federator", **(headers or {})}
        if urlsplit(url).netloc.lower() == self._host:
            value = self._authorization.header(scopes)
            if value is not None:
                own["Authorization"] = value
        return own
