"""Those whom TLS turns away: they are told why, and so is the coordinator."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_TELL_SECONDS = 10.0
_TOLD_MOST = 100
_GOODBYE_SECONDS = 2.0


class SpeakingContext(ssl.SSLContext):
    """A context that keeps TLS's last word: an event loop drops it, and the peer would never know why."""

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *more: Any, **others: Any) -> Any:
        """As the base class."""
        made = super().wrap_bio(incoming, outgoing, *more, **others)
        made.outgoing = outgoing  # type: ignore[attr-defined]
        return made


class _Speaking(ssl.SSLObject):
    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            error.alert = self.outgoing.read()  # type: ignore[attr-defined]
            raise


SpeakingContext.sslobject_class = _Speaking


async def say_goodbye(connection: socket.socket, error: OSError) -> None:
    """Send TLS's alert, and wait a moment for the peer to read it."""
    alert = getattr(error, "alert", b"")
    if not alert:
        return
    loop = asyncio.get_running_loop()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_GOODBYE_SECONDS):
            await loop.sock_sendall(connection, alert)
            connection.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(connection, 4096):
                pass


def reason_of(error: OSError) -> str:
    """Why a connection came to nothing, in few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, ssl.SSLError):
        return str(error.reason or "not TLS").lower().replace("_", " ")
    if isinstance(error, ConnectionAbortedError):
        return "no TLS handshake in time"
    return "hung up before it had shown a certificate"


@dataclass(slots=True)
class Complaints:
    """Tells of those turned away before they were known: not every one, but how many of a kind."""

    tell: Callable[[str, str, int], None]
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _told_at: float = float("-inf")

    def note(self, address: str, reason: str) -> None:
        """Count one."""
        if len(self._counts) < _TOLD_MOST or (address, reason) in self._counts:
            self._counts[address, reason] = self._counts.get((address, reason), 0) + 1

    def flush(self, now: float) -> None:
        """Tell what was counted, unless some was told a moment ago."""
        if not self._counts or now - self._told_at < _TELL_SECONDS:
            return
        counts, self._counts, self._told_at = self._counts, {}, now
        for (address, reason), count in counts.items():
            self.tell(address, reason, count)
