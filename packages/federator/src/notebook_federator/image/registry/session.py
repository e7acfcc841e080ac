"""Authorised requests to one registry, below ``/v2/``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from ..errors import RegistryFailed
from . import credentials
from .authorization import Authorization, Scope
from .failures import refused
from .reference import DOCKER_HUB
from .transport import Answer, Found, Patience, Request, Transport, is_loopback, origin

if TYPE_CHECKING:
    import urllib3

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

    def send(self, request: Request, *scopes: Scope) -> Answer:
        """The answer to a request, whatever its status."""
        return self._authorized(request, scopes, self.transport.send)

    def stream(self, request: Request, *scopes: Scope) -> urllib3.BaseHTTPResponse | Answer:
        """An open response of status 200 or 206, else a whole answer."""
        return self._authorized(request, scopes, self.transport.stream)

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
        self, request: Request, scopes: tuple[Scope, ...], once: Callable[[Request], Found]
    ) -> Found:
        """What ``once`` gives, after the other scheme and the registry's challenge have had their turn."""
        challenged = False
        while True:
            own = self._own(request, scopes)
            found = once(own)
            if not isinstance(found, Answer):
                return found
            if found.status == 400 and self._wants_https(own, found):
                self._scheme = "https"
            elif challenged or found.status != 401:
                return found
            elif self._authorization.learn(found, own.headers.get("Authorization")):
                challenged = True
            else:
                return found

    def _wants_https(self, request: Request, answer: Answer) -> bool:
        """Whether the server says that it does not speak HTTP; the answer to a HEAD has no words."""
        if request.url.startswith("https://"):
            return False
        if self._scheme == "https":  # another thread was told so meanwhile
            return True
        words = answer.data or self.transport.send(Request("GET", self.address("/v2/"))).data
        return any(told in words for told in _WRONG_SCHEME)

    def _own(self, request: Request, scopes: tuple[Scope, ...]) -> Request:
        """The request with its whole address and, where it goes to this registry, the caller's right."""
        url = self.address(request.url)
        if not url.startswith("https://") and not is_loopback(urlsplit(url).netloc):
            raise RegistryFailed(
                f"{self.name} wants to go on without HTTPS, which is not done",
                where=origin(url),
                hint="tell its owner: a proxy before it seems to hide that it is asked by HTTPS",
            )
        headers = {"User-Agent": "notebook-federator", **request.headers}
        if urlsplit(url).netloc.lower() == self._host:
            value = self._authorization.header(scopes)
            if value is not None:
                headers["Authorization"] = value
        return replace(request, url=url, headers=headers)
