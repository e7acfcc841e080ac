"""One look at the server, with no effect there: certificate, clock, and whether it knows this site's key.

Touches of Flower that are not its public API: ``flwr.proto.heartbeat_pb2``.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPException

from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest, SendNodeHeartbeatResponse

from nbfed_site.contracts import CannotConnect

from .fleet import FleetClient, connect, proxy_of
from .loop import LinkSettings
from .refusals import NotRecognised, Unreachable, clock_ahead, failure

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What the server showed.

    Attributes:
        valid_days: days until its certificate expires; None without TLS.
        clock_seconds: how far this machine's clock is ahead of the server's; None where it told no time.
    """

    valid_days: float | None
    clock_seconds: float | None


def look(settings: LinkSettings) -> Probe:
    """Connect as the site would, proxy and all, and ask for a page that is not there.

    Raises:
        CannotConnect: with the cause, such as a certificate that is not trusted.
    """
    context = settings.context()
    try:
        connection = connect(settings.server, context, _SECONDS)
        connection.request("GET", "/")
        shown = connection.sock.getpeercert() if isinstance(connection.sock, ssl.SSLSocket) else None
        date = connection.getresponse().headers["Date"]
        connection.close()
    except (OSError, HTTPException) as error:
        found = failure(error, settings.server)
        if isinstance(found, Unreachable):
            what, hint = f"The server cannot be reached: {found}.", _advice(error, settings.server)
            found = CannotConnect(what, where=settings.server, hint=hint)
        raise found from error
    expires = ssl.cert_time_to_seconds(str(shown["notAfter"])) if shown else None
    return Probe(None if expires is None else (expires - time.time()) / 86400, clock_ahead(date))


def ask_admission(settings: LinkSettings) -> None:
    """Make a call that a server answers with a refusal of one kind to known sites, of another to others.

    Raises:
        CannotConnect: it does not know this site's key, or cannot be reached.
    """
    client = FleetClient(settings.server, settings.key_path, settings.context(), settings.slice_digest)
    try:
        client.call("send-node-heartbeat", SendNodeHeartbeatRequest(), SendNodeHeartbeatResponse, _SECONDS)
    except NotRecognised:
        return  # a known key, of a node that is not active: the request names none
    except Unreachable as error:
        raise CannotConnect(f"The server cannot be reached: {error}.", where=settings.server) from error


def _advice(error: Exception, server: str) -> str:
    place = server.removeprefix("https://")
    if proxy := proxy_of(server):
        return _advice_on_proxy(error, proxy, place)
    match error:
        case socket.gaierror():
            return "The name is not known here: ask your network's administrators, or set HTTPS_PROXY."
        case ConnectionRefusedError():
            return "Nothing listens there: ask the coordinator whether the server runs."
        case TimeoutError():
            return f"A firewall, most likely: let this machine call {place}, or set HTTPS_PROXY."
    return f"Let this machine call {place}."


def _advice_on_proxy(error: Exception, proxy: str, place: str) -> str:
    if isinstance(error, socket.gaierror | ConnectionRefusedError):
        return f"HTTPS_PROXY leads to {proxy}, where there is no proxy: correct it."
    if " 407 " in str(error):
        return "The proxy asks for a login: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
    return f"The proxy {proxy} must let CONNECT to {place} through."
