"""Answers and broken connections, as errors that say what to do next."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import NbfedError

from ..errors import (
    ReferenceInvalid,
    RegistryBusy,
    RegistryDenied,
    RegistryFailed,
    RegistryFull,
    RegistryUnreachable,
    RepositoryUnknown,
)

if TYPE_CHECKING:
    from .transport import Answer

_QUOTA = re.compile(r"quota|storage|upper limit|exceed|insufficient space|no space", re.IGNORECASE)
_OUT_OF_DATE = re.compile(r"expired|not yet valid", re.IGNORECASE)
_LONGEST_WORDS = 300


def unreachable(host: str, error: Exception) -> NbfedError:
    """Why nothing answers (``error`` is urllib3's or the system's)."""
    import urllib3

    what, hint = f"{host} does not answer", "check the network and try again"
    text, found = _innermost(error), urllib3.exceptions
    if "CERTIFICATE" in text.upper() and _OUT_OF_DATE.search(text):
        what = f"the certificate of {host} is not valid today"
        hint = "tell those who run the registry, and check the clock of this machine"
    elif "CERTIFICATE" in text.upper():
        what = f"the certificate of {host} is not trusted"
        hint = "name your organisation's root certificate in SSL_CERT_FILE or --root-certificates"
    elif isinstance(error, found.SSLError):
        what, hint = (
            f"no secure connection to {host}",
            "does this port speak HTTPS? Check the name and the port",
        )
    elif isinstance(error, found.ProxyError):
        what, hint = f"the proxy does not lead to {host}", "check HTTPS_PROXY and NO_PROXY"
    elif isinstance(error, found.NameResolutionError):
        what, hint = f"there is no host with the name of {host}", "check the name, and the network"
    elif isinstance(error, found.NewConnectionError):
        what, hint = f"{host} refuses connections", "is a registry running there? Check the name and the port"
    elif isinstance(error, found.TimeoutError):
        hint = "check the network; behind a proxy, set HTTPS_PROXY"
    elif isinstance(error, found.ProtocolError):
        return RegistryFailed(
            f"{host} broke off the connection ({text})",
            where=host,
            hint="try again: what is uploaded stays; if it happens again, a proxy on the way may limit sizes",
        )
    return RegistryUnreachable(f"{what} ({text})", where=host, hint=hint)


def refused(answer: Answer, registry: str, repository: str, action: str, login: str) -> NbfedError:
    """The error that an answer of 400 and above stands for (OCI distribution specification, "Error codes").

    Args:
        answer: what the registry said.
        registry, repository: whom it concerns.
        action: what was asked for, in words: ``push to``, ``pull from``.
        login: what is known of the caller's credentials, one sentence.
    """
    codes, words = _said(answer)
    where = f"{registry}/{repository}"
    said = f" (the registry says {answer.status}{': ' + words if words else ''})"
    if answer.status in (413, 507) or (answer.status in (403, 412) and _QUOTA.search(words)):
        return RegistryFull(
            f"{registry} takes no more, or not so much at once{said}",
            where=where,
            hint="free space or ask for a larger quota; behind a proxy, raise its limit on request sizes",
        )
    if answer.status in (401, 403):
        return RegistryDenied(
            f"{registry} does not let you {action} {repository}{said}",
            where=where,
            hint=_login(answer, registry, login),
        )
    if "NAME_INVALID" in codes:
        return ReferenceInvalid(
            f"{registry} does not accept the name {repository}{said}", where=where, hint="choose another name"
        )
    if answer.status == 404:
        return RepositoryUnknown(
            f"{registry} has no such repository or image{said}", where=where, hint=_create(action)
        )
    if answer.status == 429:
        hint = f"wait {_pause(answer)}; those who log in may do more: `docker login {registry}`"
        return RegistryBusy(f"{registry} asks to come back later{said}", where=where, hint=hint)
    hint = "check that this address is a registry"
    if answer.status >= 500:
        hint = "try again later; if it stays so, the registry's own log says why: its disk may be full"
    return RegistryFailed(f"{registry} failed{said}", where=where, hint=hint)


def _login(answer: Answer, registry: str, login: str) -> str:
    if answer.status == 403:
        return f"{login}; ask the owner of the repository for this right, or use a token that has it"
    return (
        f"{login}; run `docker login {registry}` (or `podman login`) and try again."
        " Many registries say the same of a repository (or project) that does not exist: create it first"
    )


def _create(action: str) -> str:
    if action.startswith("push"):
        return "create the repository (or its project) first, and check its name"
    return "check name and tag"


def _pause(answer: Answer) -> str:
    asked = answer.headers.get("Retry-After", "")
    return f"{asked} seconds" if asked.strip().isdigit() else "some minutes"


def _said(answer: Answer) -> tuple[frozenset[str], str]:
    """The codes and the words of an answer's errors; never more than some hundred printable characters."""
    try:
        found: Any = json.loads(answer.data or b"{}")
        errors = [dict(error) for error in found.get("errors") or [found]]
    except (ValueError, TypeError, AttributeError):
        return frozenset(), ""
    codes = frozenset(str(error.get("code", "")).upper() for error in errors)
    words = "; ".join(str(error.get("message") or error.get("details") or "") for error in errors)
    return codes, "".join(char for char in words if char.isprintable())[:_LONGEST_WORDS]


def _innermost(error: BaseException) -> str:
    """The shortest true reason: what the system said below all wrapping."""
    seen: BaseException = error
    for _ in range(8):
        inner = next((item for item in getattr(seen, "args", ()) if isinstance(item, BaseException)), None)
        inner = inner or seen.__cause__ or seen.__context__
        if inner is None or inner is seen:
            break
        seen = inner
    return str(seen) or type(seen).__name__
