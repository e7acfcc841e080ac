"""The ``Authorization`` header: basic, or a token from the server that a registry names.

The token protocol is the one of the CNCF distribution project: "Token Authentication Specification" and
"OAuth2 Token Authentication".
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from ..errors import RegistryDenied
from .credentials import Credentials
from .failures import refused
from .transport import Answer, Request, Transport, is_loopback

CLIENT = "notebook-federator"
SHORTEST_LIFE = 60.0  # seconds; what holds where a token server names none

_PARAMETER = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be allowed in one repository: ``pull``, or ``pull`` and ``push``."""

    repository: str
    actions: frozenset[str]

    def __str__(self) -> str:
        return f"repository:{self.repository}:{','.join(sorted(self.actions))}"

    def covers(self, other: Scope) -> bool:
        """Whether this allows all that ``other`` does."""
        return self.repository == other.repository and other.actions <= self.actions


def pulling(repository: str) -> Scope:
    """To read from a repository."""
    return Scope(repository, frozenset({"pull"}))


def pushing(repository: str) -> Scope:
    """To read from and write to a repository."""
    return Scope(repository, frozenset({"pull", "push"}))


@dataclass(frozen=True, slots=True)
class _Token:
    scopes: tuple[Scope, ...]
    ends: float  # on the monotonic clock
    header: str = field(repr=False)

    def serves(self, scopes: Iterable[Scope]) -> bool:
        return time.monotonic() < self.ends and all(
            any(held.covers(scope) for held in self.scopes) for scope in scopes
        )


class Authorization:
    """What a registry wants to be told of the caller; held: its challenge and the tokens that still live."""

    def __init__(self, registry: str, find: Callable[[], Credentials | None], transport: Transport) -> None:
        self._registry = registry
        self._find = find
        self._transport = transport
        self._lock = threading.RLock()
        self._credentials: Credentials | None = None
        self._sought = False
        self._scheme = ""
        self._challenge: Mapping[str, str] = {}
        self._tokens: list[_Token] = []

    def header(self, scopes: tuple[Scope, ...]) -> str | None:
        """The header's value for these scopes; None while the registry has not asked, or nobody is logged in.

        Raises:
            RegistryDenied: the token server refuses the credentials.
            RegistryUnreachable, RegistryFailed: it does not answer.
        """
        with self._lock:
            if self._scheme == "basic":
                found = self.credentials()
                return found.basic() if found and found.password else None
            if self._scheme != "bearer":
                return None
            found_token = next((token for token in self._tokens if token.serves(scopes)), None)
            if found_token is None:
                found_token = self._fetch(scopes)
                self._tokens = [token for token in self._tokens if time.monotonic() < token.ends]
                self._tokens.append(found_token)
            return found_token.header

    def learn(self, answer: Answer, used: str | None) -> bool:
        """Read the challenge of a 401 to a request with the header ``used``; whether to try once more."""
        found = _challenge(answer.headers.get("WWW-Authenticate", ""))
        with self._lock:
            self._tokens = [token for token in self._tokens if token.header != used]
            if found is None:
                return False
            first = not self._scheme
            self._scheme, self._challenge = found
            if self._scheme == "basic":
                return self.credentials() is not None and (first or used is None)
            return True

    def credentials(self) -> Credentials | None:
        """The caller's credentials, looked for once."""
        with self._lock:
            if not self._sought:
                self._credentials, self._sought = self._find(), True
            return self._credentials

    def told(self) -> str:
        """What is known of the caller, for messages; no secret."""
        found = self.credentials()
        if found is None:
            return f"no credentials for {self._registry} were found"
        who = f" of {found.username}" if found.username else ""
        return f"the credentials{who} from {found.source} do not allow it"

    def _fetch(self, scopes: tuple[Scope, ...]) -> _Token:
        credentials = self.credentials()
        if credentials and credentials.registry_token:
            return _Token(scopes, time.monotonic() + SHORTEST_LIFE, f"Bearer {credentials.registry_token}")
        answer = self._ask(self._realm(), scopes, credentials)
        repository = scopes[0].repository if scopes else ""
        if answer.status != 200:
            action = "push to" if any("push" in scope.actions for scope in scopes) else "pull from"
            raise refused(answer, self._registry, repository, action, self.told())
        try:
            found = json.loads(answer.data)
            token = found.get("token") or found["access_token"]
            life = float(found.get("expires_in") or SHORTEST_LIFE)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._strange("its token server gave no token") from error
        spare = min(10.0, life / 4)
        return _Token(scopes, time.monotonic() + life - spare, f"Bearer {token}")

    def _ask(self, realm: str, scopes: tuple[Scope, ...], credentials: Credentials | None) -> Answer:
        service = self._challenge.get("service", "")
        names = [str(scope) for scope in scopes]
        if credentials and credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": credentials.identity_token,
                "service": service,
                "client_id": CLIENT,
                "scope": " ".join(names),
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._transport.send(Request("POST", realm, headers, urlencode(form).encode()))
        query = [("service", service)] if service else []
        query += [("scope", name) for name in names]
        headers = {}
        if credentials and credentials.password:
            query.append(("account", credentials.username))
            headers["Authorization"] = credentials.basic()
        joint = "&" if urlsplit(realm).query else "?"
        return self._transport.send(Request("GET", realm + joint + urlencode(query), headers))

    def _realm(self) -> str:
        """The token server's address; plain HTTP only where registry and token server are this machine."""
        realm = self._challenge.get("realm", "")
        parts = urlsplit(realm)
        here = is_loopback(parts.netloc) and is_loopback(self._registry)
        if parts.scheme == "https" or (parts.scheme == "http" and here):
            return realm
        raise self._strange("it names a token server without HTTPS, which gets no credentials")

    def _strange(self, what: str) -> RegistryDenied:
        return RegistryDenied(
            f"no way to log in at {self._registry}: {what}",
            where=self._registry,
            hint="check that this address is a registry, and tell its owner",
        )


def _challenge(header: str) -> tuple[str, Mapping[str, str]] | None:
    """Scheme and parameters of a ``WWW-Authenticate`` header (RFC 9110, section 11.6.1); tokens first."""
    for scheme in ("bearer", "basic"):
        found = re.search(rf"(?:^|,)\s*{scheme}\b(.*)", header, re.IGNORECASE)
        if found is not None:
            pairs = reversed(_PARAMETER.findall(found[1]))  # of two challenges, the first one's hold
            return scheme, {name.lower(): value for name, value in pairs}
    return None
