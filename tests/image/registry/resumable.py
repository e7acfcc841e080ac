"""A server of one upload after the letter of the specification, which keeps what came before a break."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from notebook_federator.image.shapes import digest_of


@dataclass
class Uploads:
    """One upload after the letter of the specification: what came before a break is kept."""

    breaks: list[int] = field(default_factory=list)  # bytes of a chunk after which the connection breaks
    least: int = 0
    largest: int = 1 << 40
    chunks: bool = True
    data: bytearray = field(default_factory=bytearray)
    ranges: list[str] = field(default_factory=list)
    stored: bytes | None = None

    def handle(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        while line := stream.readline():
            method, path, _ = line.decode().split()
            headers: dict[str, str] = {}
            while (head := stream.readline().decode().strip()) != "":
                name, _, value = head.partition(": ")
                headers[name.lower()] = value
            size = int(headers.get("content-length", 0))
            if method == "PATCH" and not self._take(stream, headers, size):
                return
            status, more = self._answer(method, path, headers, stream, size)
            said = {"Content-Length": "0", "Location": "/v2/demo/blobs/uploads/1?state=2", **more}
            lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
            stream.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode())
            stream.flush()

    def _take(self, stream: Any, headers: dict[str, str], size: int) -> bool:
        self.ranges.append(headers["content-range"])
        if not self.chunks or size > self.largest:
            stream.read(size)
            return True
        start = int(headers["content-range"].partition("-")[0])
        assert start == len(self.data)
        if self.breaks:
            self.data += stream.read(min(self.breaks.pop(0), size))
            return False
        self.data += stream.read(size)
        return True

    def _answer(
        self, method: str, path: str, headers: dict[str, str], stream: Any, size: int
    ) -> tuple[int, dict[str, str]]:
        if method == "HEAD":
            return (404 if self.stored is None else 200), {}
        if method == "POST":
            self.data.clear()
            return 202, {"OCI-Chunk-Min-Length": str(self.least)} if self.least else {}
        if method == "PUT":
            self.stored = bytes(self.data) + stream.read(size)
            assert digest_of(self.stored).replace(":", "%3A") in path
            return 201, {}
        if method == "PATCH" and not self.chunks:
            return 405, {}
        if method == "PATCH" and size > self.largest:
            return 413, {}
        return (202 if method == "PATCH" else 204), {"Range": f"0-{max(len(self.data) - 1, 0)}"}


@contextmanager
def running(uploads: Uploads) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            uploads.handle(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield f"localhost:{listener.getsockname()[1]}"
