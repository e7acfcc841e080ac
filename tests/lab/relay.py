"""The way between two: an HTTP proxy, or a port that leads on; it can be cut, frozen, slowed or spoiled.

Every byte is counted, so that a fault can be placed in the middle of a download or an upload.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

_PIECE = 8192


@dataclass
class Condition:
    """How the way is now: ``delay`` in seconds for each piece, ``rate`` in bytes per second, 0 for any."""

    passable: bool = True
    frozen: bool = False
    delay: float = 0.0
    rate: float = 0.0


@dataclass
class Relay:
    """One site's way. ``down`` and ``up`` count bytes; ``recorded`` is what the site sent in each tunnel.

    Attributes:
        host: address of this machine that it listens on.
        target: where every connection leads, of those who know of no proxy.
        detour: another address that tunnels lead to from now on, as somebody on the way could have it.
    """

    condition: Condition = field(default_factory=Condition)
    down: int = 0
    up: int = 0
    recorded: list[bytearray] = field(default_factory=list)
    detour: tuple[str, int] | None = None
    host: str = "127.0.0.1"
    target: tuple[str, int] | None = None
    port: int = 0
    _watches: list[tuple[str, int, Callable[[], None]]] = field(default_factory=list)
    _flips: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(10)

    @property
    def address(self) -> str:
        """For ``HTTPS_PROXY``."""
        return f"http://127.0.0.1:{self.port}"

    # -- what can be done to it ---------------------------------------------------------------

    def when(self, direction: str, count: int, act: Callable[[], None]) -> None:
        """Call ``act`` once, when so many bytes went ``up`` or ``down``; no byte passes meanwhile."""
        self._watches.append((direction, count, act))

    def cut(self) -> None:
        """Break all tunnels, and let no new one through."""
        self.condition.passable = False
        self._loop.call_soon_threadsafe(self._break)

    def freeze(self) -> None:
        """Pass nothing on, and tell nobody."""
        self.condition.frozen = True

    def slow(self, delay: float, rate: float) -> None:
        """Hold every piece back, and pass on only so many bytes in a second."""
        self.condition.delay, self.condition.rate = delay, rate

    def flip(self, count: int) -> None:
        """Change a bit in each of the next ``count`` pieces."""
        self._flips = count

    def divert(self, address: tuple[str, int]) -> None:
        """Lead the site elsewhere."""
        self.detour = address
        self._loop.call_soon_threadsafe(self._break)

    def mend(self) -> None:
        """As it was."""
        self.condition, self._flips = Condition(), 0
        if self.detour is not None:
            self.detour = None
            self._loop.call_soon_threadsafe(self._break)

    def close(self) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._break)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    # -- how it works -------------------------------------------------------------------------

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._tunnel, self.host, 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self._loop)
        if left:  # most end by themselves, now that nothing is open
            self._loop.run_until_complete(asyncio.wait(left, timeout=0.5))
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _break(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        other: asyncio.StreamWriter | None = None
        try:
            place = self.target or await asked_for(reader)
            if not self.condition.passable:
                return
            answers, other = await asyncio.open_connection(*(self.detour or place))
            self._writers.add(other)
            if self.target is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            said = bytearray()
            self.recorded.append(said)
            await asyncio.gather(self._pump("up", reader, other, said), self._pump("down", answers, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            for end in (writer, other):
                if end is not None:
                    self._writers.discard(end)
                    with suppress(RuntimeError):
                        end.transport.abort()

    async def _pump(
        self,
        way: str,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        said: bytearray | None = None,
    ) -> None:
        while data := await source.read(_PIECE):
            await self._hold(way, len(data))
            if self._flips:
                self._flips -= 1
                data = data[:-1] + bytes((data[-1] ^ 1,))
            if said is not None:
                said += data
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()

    async def _hold(self, way: str, size: int) -> None:
        setattr(self, way, getattr(self, way) + size)
        for watch in [one for one in self._watches if one[0] == way and getattr(self, way) >= one[1]]:
            self._watches.remove(watch)
            await asyncio.to_thread(watch[2])
        while self.condition.frozen:
            await asyncio.sleep(0.02)
        if not self.condition.passable:
            raise ConnectionResetError
        if self.condition.delay or self.condition.rate:
            await asyncio.sleep(self.condition.delay + size / (self.condition.rate or 1e12))


async def asked_for(reader: asyncio.StreamReader) -> tuple[str, int]:
    """Where somebody wants to go who sees a proxy here."""
    head = await reader.readuntil(b"\r\n\r\n")
    host, _, port = head.split()[1].decode().rpartition(":")
    return host.strip("[]"), int(port)
