"""Accepts connections, so that strangers can neither use the server up nor keep sites out.

Until TLS has verified its certificate, a connection is a stranger's: few at a time, for a few
seconds, and none of its bytes reaches any code but TLS. Where there is no room, the oldest makes it:
a site needs its place for a moment only. After that a certificate has so many connections, and a
request's head so many seconds and bytes.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .turned_away import Complaints, reason_of, say_goodbye

HEAD_BYTES = 16 << 10
_ACCEPT_PAUSE = 0.2
_SHUTDOWN_SECONDS = 5.0  # for the peer to end TLS too; what it sends meanwhile is not looked at
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much room there is.

    Attributes:
        strangers: connections whose certificate is not verified yet. per_address: of one address.
        guests: connections whose certificate is verified. per_certificate: of one certificate.
        without_tls: all connections where no certificates are asked for.
        handshake_seconds: for TLS to verify a certificate. head_seconds: for a request's head.
    """

    strangers: int = 256
    per_address: int = 64
    guests: int = 4096
    per_certificate: int = 16
    without_tls: int = 1024
    handshake_seconds: float = 10.0
    head_seconds: float = 10.0


@dataclass(slots=True)
class Crowd:
    """Connections with keys, oldest first; where one key or the whole has too many, the oldest goes."""

    most: int
    most_per_key: int
    close: Callable[[Any], None]
    _inside: dict[Any, object] = field(default_factory=dict)

    def enter(self, one: Any, key: object) -> None:
        """Let ``one`` in, and close whoever makes room for it."""
        self._inside[one] = key
        same = [other for other, its in self._inside.items() if its == key]
        leaving = same[: max(len(same) - self.most_per_key, 0)]
        if not leaving and len(self._inside) > self.most:
            leaving = [next(iter(self._inside))]
        for other in leaving:
            del self._inside[other]
            self.close(other)

    def leave(self, one: Any) -> None:
        """Forget ``one``."""
        self._inside.pop(one, None)


class Entrance(uvicorn.Server):
    """uvicorn's server with an entrance of its own.

    Args:
        context: None for plain HTTP.
        turned_away: told the address, the reason and the number of those that TLS refused.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        context: ssl.SSLContext | None,
        turned_away: Callable[[str, str, int], None],
        limits: Limits | None = None,
    ) -> None:
        super().__init__(config)
        self.limits = limits or Limits()
        self._context = context
        self._complaints = Complaints(turned_away)
        self._strangers = Crowd(self.limits.strangers, self.limits.per_address, lambda task: task.cancel())
        per_peer = self.limits.per_certificate if context else self.limits.without_tls
        self.guests = Crowd(self.limits.guests, per_peer, lambda guest: guest.transport.abort())
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        self.lifespan = self.config.lifespan_class(self.config)
        self.servers = []
        self.started = True
        for listener in sockets or []:
            listener.setblocking(False)
            self._spawn(self._accept(listener))

    async def on_tick(self, counter: int) -> bool:
        """Do what is due ten times a second."""
        self._complaints.flush(time.monotonic())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._complaints.flush(math.inf)
        await super().shutdown(sockets)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError:  # no file descriptors left, or the peer was gone already
                await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            task = self._spawn(self._verify(connection, address[0]))
            self._strangers.enter(task, address[0])
            task.add_done_callback(self._strangers.leave)

    async def _verify(self, connection: socket.socket, address: str) -> None:
        """Have TLS look at one connection, and hand it over to HTTP."""
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            spare = connection.dup()
        except OSError:  # no file descriptors left, or the peer was gone already
            connection.close()
            return
        with spare:
            try:
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: Guest(self),
                    connection,
                    ssl=self._context,
                    ssl_handshake_timeout=self.limits.handshake_seconds if self._context else None,
                    ssl_shutdown_timeout=_SHUTDOWN_SECONDS if self._context else None,
                )
            except OSError as error:
                self._complaints.note(address, reason_of(error))
                await say_goodbye(spare, error)
            except asyncio.CancelledError:
                connection.close()
                raise


class Guest(HttpToolsProtocol):
    """HTTP on one connection whose certificate TLS has verified; what it is stands in ``scope["state"]``."""

    def __init__(self, entrance: Entrance) -> None:
        super().__init__(entrance.config, entrance.server_state, {})
        self._entrance = entrance
        self._head: int | None = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the certificate (DER), None without TLS."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(True) if tls is not None else None
        self.app_state = {"certificate": certificate}
        self._entrance.guests.enter(self, certificate)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self._unwatch()
        self._entrance.guests.leave(self)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins; one that comes before the answer to the last is not waited for, but the end.

        Raises:
            BrokenPipeError: to the parser, which stops. HTTP allows such requests; uvicorn queues them
                without end, and no site sends them.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            raise BrokenPipeError
        super().on_message_begin()

    def data_received(self, data: bytes) -> None:
        """Take bytes, of a head only so many."""
        begun = self._head
        if begun is not None:
            self._head = begun + len(data)
            self._watch()
        super().data_received(data)
        if self._head is not None and self._head > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._unwatch()
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is whole; what follows is the next one's head."""
        self._head = 0
        super().on_message_complete()

    def _watch(self) -> None:
        if self._timer is None:
            seconds = self._entrance.limits.head_seconds
            self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
