"""A package index on a port of this machine: a folder of wheels behind the simple API (PEP 503)."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from notebook_federator.locking.runtime import normalised


class Index(ThreadingHTTPServer):
    """Serves ``folder``; answers everything with ``refuse`` where that is a status."""

    def __init__(self, folder: Path, refuse: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.refuse = refuse
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"


class _Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        data = b"" if self.server.refuse else self._found()
        self.server.asked.append(f"{self.command} {self.path}")
        self.send_response(self.server.refuse or (200 if data else 404))
        self.send_header(
            "Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream"
        )
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _found(self) -> bytes:
        name = self.path.rstrip("/").rpartition("/")[2]
        if self.path.startswith("/files/"):
            return (self.server.folder / name).read_bytes()
        files = [file for file in self.server.folder.iterdir() if normalised(file.name.split("-")[0]) == name]
        links = [
            f"/files/{file.name}#sha256={hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files
        ]
        lines = [f'<a href="{link}">{file.name}</a>' for link, file in zip(links, files, strict=True)]
        return "\n".join(lines).encode()

    def log_message(self, *arguments: object) -> None:
        """Tests show what fails themselves."""


@contextmanager
def serving(folder: Path, refuse: int = 0) -> Iterator[Index]:
    """An index that runs until the end of the block."""
    with Index(folder, refuse) as index:
        thread = threading.Thread(target=index.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield index
        finally:
            index.shutdown()
            thread.join()
