"""What the tests of this folder share: blobs, a login, and HTTP servers by a function."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from notebook_federator.image.registry.transport import Patience
from notebook_federator.image.shapes import LAYER, BytesContent, Descriptor, digest_of

QUICK = Patience(attempts=4, first=0.02, longest=0.1)
HTPASSWD = "ada:$2b$04$WWVFqkAVWSG4iw4NcG07k.jgPzb726T9DZ1obqIhfVoMkUUzZjq/S\n"  # password: secret


def blob(size: int) -> tuple[Descriptor, BytesContent]:
    """Random bytes with their descriptor."""
    data = os.urandom(size)
    return Descriptor(LAYER, digest_of(data), size), BytesContent(data)


def login(folder: Path, registry: str, **entry: str) -> None:
    """Write Docker's file of credentials into a home folder."""
    made = entry or {"auth": base64.b64encode(b"ada:secret").decode()}
    (folder / ".docker").mkdir(exist_ok=True)
    (folder / ".docker/config.json").write_text(json.dumps({"auths": {registry: made}}))


@dataclass
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    address: str


@dataclass
class Said:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@contextmanager
def serving(answer: Callable[[Asked], Said]) -> Iterator[str]:
    """An HTTP server that answers as the function says; its ``localhost:PORT``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with suppress(ConnectionError):
                super().handle_one_request()

        def any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = answer(Asked(self.command, self.path, self.headers, body, self.headers["Host"]))
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in said.headers:
                self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.any)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
