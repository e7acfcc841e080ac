"""Wheels from folders and from servers that behave badly, as servers do."""

import datetime
import hashlib
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from notebook_federator.image import wheels
from notebook_federator.image.cache import Cache
from notebook_federator.image.errors import WheelDamaged, WheelUnreachable
from notebook_federator.image.layers import make, plan, verified
from notebook_federator.image.wheels import fetch
from notebook_federator.locking.shapes import LockedWheel
from small_wheels import locked, noise, silent, text, write_wheel

DATA = noise(900_000)


@dataclass
class Server:
    """A real HTTP server; ``answers`` are taken in turn, the last for ever."""

    url: str = ""
    answers: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked.append({name.lower(): value for name, value in self.headers.items()})
            answer = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{served.server_address[1]}/pkg-1.0-py3-none-any.whl"
    yield found
    served.shutdown()
    served.server_close()
    thread.join()


def sends(
    data: bytes, *, status: int = 200, only: int | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with ``data``, from where a range asks; breaks off after ``only`` bytes."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
        request.send_response(206 if start and status == 200 else status)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        body = data[start:]
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:only])
        request.close_connection = only is not None

    return answer


def refuses(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def without_ranges(data: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return answer


def wheel_at(server: Server, data: bytes = DATA) -> LockedWheel:
    return LockedWheel(
        "pkg", "1.0", "pkg-1.0-py3-none-any.whl", server.url, hashlib.sha256(data).hexdigest(), len(data)
    )


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def files(cache: Cache) -> list[Path]:
    return [path for path in cache.root.rglob("*") if path.is_file()]


def test_a_wheel_is_downloaded_once(server: Server, cache: Cache) -> None:
    server.answers = [sends(DATA)]
    told: list[Any] = []
    first, second = (fetch(wheel_at(server), cache, told.append) for _ in range(2))
    assert first == second
    assert first.read_bytes() == DATA
    assert len(server.asked) == 1
    assert told[-1] == {
        "event": "layer",
        "title": "pkg 1.0",
        "state": "downloading",
        "bytes": len(DATA),
        "total": len(DATA),
    }
    assert len(told) < 20


def test_a_broken_download_goes_on_where_it_was(server: Server, cache: Cache) -> None:
    server.answers = [sends(DATA, only=400_000), refuses(503, Retry_After="0"), sends(DATA)]
    assert fetch(wheel_at(server), cache, silent).read_bytes() == DATA
    start = int(server.asked[-1]["range"].removeprefix("bytes=").rstrip("-"))
    assert 0 < start <= 400_000


def test_a_server_without_ranges_sends_all_again(server: Server, cache: Cache) -> None:
    server.answers = [sends(DATA, only=400_000), without_ranges(DATA)]
    received: list[int] = []
    path = wheels.obtain(wheel_at(server), cache, received.append)
    assert path.read_bytes() == DATA
    assert sum(received) == len(DATA)


@pytest.mark.parametrize("data", [DATA[:-1] + b"?", DATA + b"more", DATA[:-1]], ids=["other", "more", "less"])
def test_a_wheel_that_is_not_the_locked_one_is_refused_and_not_kept(
    data: bytes, server: Server, cache: Cache
) -> None:
    server.answers = [sends(data)]
    with pytest.raises(WheelDamaged) as caught:
        fetch(wheel_at(server), cache, silent)
    assert server.url in caught.value.where
    assert files(cache) == []


def test_a_wheel_that_is_not_there_is_said_at_once(server: Server, cache: Cache) -> None:
    server.answers = [refuses(404)]
    with pytest.raises(WheelUnreachable, match="404"):
        fetch(wheel_at(server), cache, silent)
    assert len(server.asked) == 1
    assert files(cache) == []


def test_redirections_are_followed(server: Server, cache: Cache) -> None:
    server.answers = [refuses(302, Location=server.url + "?elsewhere"), sends(DATA)]
    assert fetch(wheel_at(server), cache, silent).read_bytes() == DATA


def test_without_a_network_the_way_out_is_said(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "TRIES", 2)
    url = "http://127.0.0.1:9/pkg-1.0-py3-none-any.whl"
    with pytest.raises(WheelUnreachable) as caught:
        fetch(LockedWheel("pkg", "1.0", "pkg-1.0-py3-none-any.whl", url, "0" * 64, 5), cache, silent)
    assert "HTTPS_PROXY" in caught.value.hint
    assert "--wheels" in caught.value.hint
    assert files(cache) == []


def test_a_proxy_is_used_where_the_environment_names_one(
    server: Server, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url.replace("http://", "http://user:p%40ss@").rpartition("/")[0])
    server.answers = [sends(DATA)]
    wheel = replace(wheel_at(server), url="http://wheels.invalid/pkg-1.0-py3-none-any.whl")
    assert fetch(wheel, cache, silent).read_bytes() == DATA
    assert server.asked[0]["host"] == "wheels.invalid"
    assert server.asked[0]["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    wheels._connections.cache_clear()
    monkeypatch.setenv("no_proxy", "wheels.invalid")
    monkeypatch.setattr(wheels, "TRIES", 1)
    with pytest.raises(WheelUnreachable):
        fetch(wheel, Cache(cache.root / "other"), silent)


def test_certificates_are_checked_against_those_of_the_environment(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = own_certificate(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"https://localhost:{server.server_address[1]}/pkg.whl"
    wheel = replace(wheel_at(Server(url)), url=url)
    monkeypatch.setenv("NO_PROXY", "localhost")
    with pytest.raises(WheelUnreachable) as caught:
        fetch(wheel, cache, silent)
    assert "SSL_CERT_FILE" in caught.value.hint
    wheels._connections.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(wheel, cache, silent).read_bytes() == DATA
    server.shutdown()
    server.server_close()


class Plain(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        sends(DATA)(self)

    def log_message(self, *_: Any) -> None:
        pass


def own_certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "own.pem"
    path.write_bytes(signed.public_bytes(pem) + private)
    return path


def test_a_wheel_that_went_bad_in_the_cache_is_downloaded_again(
    server: Server, cache: Cache, tmp_path: Path
) -> None:
    made = write_wheel(tmp_path, "pkg", {"pkg/data.bin": text(400_000)})
    data = (tmp_path / made.filename).read_bytes()
    server.answers = [sends(data)]
    wheel = wheel_at(server, data)
    path = fetch(wheel, cache, silent)
    bad = bytearray(data)
    bad[5000] ^= 1
    path.write_bytes(bad)
    (planned,) = plan([wheel], "3.11")
    assert verified(make(planned, cache, silent))
    assert path.read_bytes() == data
    assert len(server.asked) == 2


def test_one_download_that_fails_stops_the_others(server: Server, cache: Cache) -> None:
    started, ended = threading.Event(), threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        if "gone" in request.path:
            started.wait(10)
            refuses(404)(request)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(DATA)))
        request.end_headers()
        for start in range(0, len(DATA), 2000):  # for 22 seconds
            request.wfile.write(DATA[start : start + 2000])
            started.set()
            if ended.wait(0.05):
                break
        request.close_connection = True

    server.answers = [answer]
    gone = replace(wheel_at(server), name="gone", url=f"{server.url}?gone")
    (planned,) = plan([wheel_at(server), gone], "3.11")
    start = time.monotonic()
    with pytest.raises(WheelUnreachable, match="404"):
        make(planned, cache, silent)
    assert time.monotonic() - start < 8
    ended.set()
    assert files(cache) == []


def test_a_wheel_in_a_folder_is_used_where_it_is(tmp_path: Path, cache: Cache) -> None:
    path = tmp_path / "a folder with blanks é" / "pkg-1.0-py3-none-any.whl"
    path.parent.mkdir()
    path.write_bytes(DATA)
    assert fetch(locked(path, "pkg"), cache, silent) == path
    assert all(found.stat().st_size == 0 for found in files(cache))


def test_a_wheel_in_a_folder_is_hashed_once_until_it_changes(tmp_path: Path, cache: Cache) -> None:
    path = tmp_path / "pkg-1.0-py3-none-any.whl"
    path.write_bytes(DATA)
    wheel, before = locked(path, "pkg"), path.stat()
    fetch(wheel, cache, silent)
    path.write_bytes(bytes(len(DATA)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fetch(wheel, cache, silent) == path  # same size, time and file: its memory is trusted
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(WheelDamaged, match="SHA-256"):
        fetch(wheel, cache, silent)
    path.write_bytes(b"short")
    with pytest.raises(WheelDamaged, match="5 bytes"):
        fetch(wheel, cache, silent)
    path.unlink()
    with pytest.raises(WheelUnreachable):
        fetch(wheel, cache, silent)
