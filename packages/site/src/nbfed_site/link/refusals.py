"""Why a call came to nothing: what is worth another attempt, and what is not."""

from __future__ import annotations

import json
import ssl
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from nbfed_site.contracts import CannotConnect, CertificateRefused, VersionSkew, error_kind

_CLOCK_SECONDS = 120
_ADVICE = {
    9: "Set this machine's clock; if it is right, the server's certificate is not valid yet.",
    10: "The coordinator must renew it; or this machine's clock is wrong.",
    62: "The kit's address is not the one that the server has a certificate for: tell the coordinator.",
    64: "The kit's address is not the one that the server has a certificate for: tell the coordinator.",
}  # by X509_V_ERR number
_INTERCEPTED = "Another server answers here: a proxy that opens TLS, perhaps; let it pass this one unopened."
_MINE = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")  # in the names of TLS alerts


class Unreachable(Exception):
    """The server did not answer, or could not do what was asked just now."""


class NotRecognised(Exception):
    """The server does not hold this site for active: it was restarted, or has given the site up."""


def failure(error: Exception, server: str) -> Exception:
    """What to raise where a call ended with ``error``, of a socket, TLS or HTTP.

    :class:`CertificateRefused` where a certificate is to blame, the server's or this site's; else
    :class:`Unreachable`.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _ADVICE.get(error.verify_code, _INTERCEPTED)
        what = f"The server's certificate is not accepted: {error.verify_message}."
        return CertificateRefused(what, where=server, hint=hint)
    reason = (isinstance(error, ssl.SSLError) and error.reason) or ""
    if "ALERT" in reason and any(word in reason for word in _MINE):
        said = reason.partition("ALERT_")[2].lower().replace("_", " ")
        what = f"The server does not accept this site's certificate: {said}."
        return CertificateRefused(what, where=server, hint="Ask the coordinator for a new kit.")
    if isinstance(error, TimeoutError):
        return Unreachable("no answer in time")
    return Unreachable(getattr(error, "strerror", "") or str(error) or type(error).__name__)


def refusal(status: int, body: bytes, date: str | None, versions: str) -> Exception:
    """What to raise where the server answered with ``status``; its own words where it has some."""
    text = body.decode(errors="replace")
    if (stated := _stated(text)) is not None:
        return stated
    if status == HTTPStatus.FORBIDDEN:
        what = f"The server refuses this site: {text.rstrip('.')}."
        return CannotConnect(what, hint="Ask the coordinator; a site that was removed needs a new kit.")
    if status == HTTPStatus.UPGRADE_REQUIRED:
        return VersionSkew(
            f"This site runs {versions}, but the server runs {text}.",
            hint="Use the newest kit, and the image that it names.",
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return NotRecognised(text + _clock_hint(date))
    return Unreachable(f"the server answered {status}: {text}")


def _stated(text: str) -> CannotConnect | None:
    """The error that the server states as JSON; None where it does not."""
    try:
        value = json.loads(text)
        kind = error_kind(value["code"])
        what, hint = str(value["what"]), str(value.get("hint", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (kind if issubclass(kind, CannotConnect) else CannotConnect)(what, hint=hint)


def clock_ahead(date: str | None) -> float | None:
    """Seconds that this machine's clock is ahead of an answer's ``Date``; None where that is no date."""
    try:
        return time.time() - parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _clock_hint(date: str | None) -> str:
    ahead = clock_ahead(date) or 0.0
    return (
        f" (this machine's clock is {ahead:+.0f} s from the server's)" if abs(ahead) > _CLOCK_SECONDS else ""
    )
