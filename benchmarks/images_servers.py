"""Servers on this machine for the benchmark of images: a registry that counts, and a package index."""

import functools
import hashlib
import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import urllib3
from engine_stock import free_ports, wait_for_port

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_SENT = re.compile(r'"GET /v2/\S+ HTTP/1\.1" 200 (\d+)')
_FOR_EVER = "max-age=365000000, immutable, public"


@dataclass(slots=True)
class Registry:
    """A plain registry; every start but the first keeps the port."""

    folder: Path
    address: str = field(default_factory=lambda: f"localhost:{free_ports(1)[0]}")
    process: subprocess.Popen[bytes] | None = None

    def start_empty(self) -> None:
        """Start it with no image in it."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        configuration = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": {"addr": self.address},
        }
        (self.folder / "registry.yml").write_text(json.dumps(configuration))  # JSON is YAML
        program = shutil.which("docker-registry") or shutil.which("registry")
        assert program, "no registry here (Debian: apt-get install docker-registry)"
        with (self.folder / "log").open("wb") as log:
            command = [program, "serve", str(self.folder / "registry.yml")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for_port(int(self.address.rpartition(":")[2]))

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process:
            self.process.terminate()
            self.process.wait()

    def sent(self) -> int:
        """Bytes of manifests and blobs that clients have got so far."""
        return sum(map(int, _SENT.findall((self.folder / "log").read_text())))

    def manifest(self, name: str) -> dict[str, Any]:
        """The manifest of ``REPOSITORY:TAG``."""
        repository, _, tag = name.rpartition(":")
        url = f"http://{self.address}/v2/{repository}/manifests/{tag}"
        found = urllib3.request("GET", url, headers={"Accept": f"{MANIFEST}, {DOCKER_MANIFEST}"})
        assert found.status == 200, f"{url}: {found.status}"
        parsed: dict[str, Any] = found.json()
        return parsed


@contextmanager
def package_index(wheels: Path) -> Iterator[str]:
    """Serve a folder of wheels as a package index (PEP 503), with PyPI's caching; gives its address."""
    pages: dict[str, list[str]] = {}
    for path in sorted(wheels.glob("*.whl")):
        name = re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower()
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        link = f'<a href="/files/{html.escape(path.name)}#sha256={digest}">{html.escape(path.name)}</a>'
        pages.setdefault(name, []).append(link)
    handler = type("Handler", (_Handler,), {"pages": {name: "<br>".join(a) for name, a in pages.items()}})
    with ThreadingHTTPServer(("localhost", 0), functools.partial(handler, directory=str(wheels))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pages: ClassVar[Mapping[str, str]]

    def do_GET(self) -> None:
        *folders, name = self.path.partition("?")[0].strip("/").split("/")
        if folders == ["files"]:
            self.path = f"/{name}"
            super().do_GET()
        elif name in self.pages:
            self.page(self.pages[name].encode())
        else:
            self.send_error(404)

    def page(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "max-age=600, public")
        self.end_headers()
        self.wfile.write(data)

    def end_headers(self) -> None:
        if self.path.endswith(".whl"):
            self.send_header("Cache-Control", _FOR_EVER)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
