"""A line between client and registry: it passes on, it can be cut, and it can be a proxy."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Tunnel:
    """Passes connections on to ``target``; can cut them after some bytes, and close its door.

    With ``connect`` it is an HTTP proxy whose CONNECT always leads to ``target``.
    """

    def __init__(self, target: str, *, connect: bool = False) -> None:
        self.target = target
        self.cuts: list[int] = []  # for the next connections: bytes sent by the client before the cut
        self.connect = connect
        self.connected: list[str] = []
        self.port = 0
        self._open: set[socket.socket] = set()
        self.open()

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse new connections and break those that are open."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for item in list(self._open):
            with suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        if self.connect:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.connected.append(head.split()[1].decode())
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        host, _, port = self.target.partition(":")
        server = socket.create_connection((host, int(port)))
        self._open |= {client, server}
        sent = 0
        with client, server, suppress(OSError):
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    (server if ready is client else client).sendall(data)
                    sent += len(data) if ready is client else 0
                    if self.cuts and sent > self.cuts[0]:
                        del self.cuts[0]
                        return
        self._open -= {client, server}


@contextmanager
def tunnel(target: str, *, connect: bool = False) -> Iterator[Tunnel]:
    """A :class:`Tunnel` for the time of the block."""
    made = Tunnel(target, connect=connect)
    try:
        yield made
    finally:
        made.close()
