"""Calls of Flower's Fleet API over HTTP/1.1, with array chunks streamed to and from memory in place.

Python's own HTTP client is used because it reads a body straight into a buffer and sends one
straight from a buffer; every call is signed as Flower's node authentication expects.

Touches of Flower that are not its public API:
    ``flwr.proto``: the messages of ``message_pb2``;
    ``flwr.common.constant.TIMESTAMP_HEADER``;
    ``flwr.supercore.constant``: ``FLEET_HTTP_PUBLIC_KEY_HEADER``, ``FLEET_HTTP_SIGNATURE_HEADER``;
    ``flwr.supercore.date.now``; ``flwr.supercore.primitives.asymmetric.sign_message``.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import urllib.parse
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from flwr.common.constant import TIMESTAMP_HEADER
from flwr.proto.message_pb2 import (
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import sign_message

from nbfed_site import __version__
from nbfed_site.contracts import SettingsInvalid
from nbfed_site.keys import private_key, public_key

from .pack import chunk_head
from .refusals import Unreachable, failure, refusal

VERSION_HEADER = "nbfed-version"
INSTANCE_HEADER = "nbfed-instance"
SLICE_HEADER = "nbfed-slice"
STATE_HEADER = "nbfed-state"
VERSIONS = f"nbfed {__version__}, flwr {version('flwr')}"

_READ_BYTES = 1 << 20
_ResponseT = TypeVar("_ResponseT")


class FleetClient:
    """Signed calls to one server over a few kept connections; may be used by several threads."""

    def __init__(
        self, server: str, key_path: Path, context: ssl.SSLContext | None, slice_digest: str = ""
    ) -> None:
        _host_and_port(server)
        self._server, self._context = server, context
        self._key = private_key(key_path)
        self.public_key = public_key(key_path)
        self._fixed = {
            "Content-Type": "application/protobuf",
            FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(self.public_key).decode(),
            VERSION_HEADER: VERSIONS,
            # by this the server tells a restarted site from a broken connection
            INSTANCE_HEADER: uuid.uuid4().hex,
            SLICE_HEADER: slice_digest,
            STATE_HEADER: "",
        }
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._shut = False

    def say(self, state: str) -> None:
        """Have every call from now on tell this site's state."""
        self._fixed[STATE_HEADER] = state

    def call(self, name: str, request: Any, answer: type[_ResponseT], timeout: float = 30.0) -> _ResponseT:
        """One call of the Fleet API, such as ``pull-messages``.

        Raises:
            Unreachable, NotRecognised: see there.
            CannotConnect: the server does not know this site's key.
            VersionSkew: the server runs other versions.
        """
        with self._post(name, [request.SerializeToString()], timeout) as response:
            return _parsed(answer, response.read())

    def pull_object(self, request: PullObjectRequest) -> bytes:
        """The bytes of one small object."""
        return _content(self.call("pull-object", request, PullObjectResponse))

    def pull_chunk(self, request: PullObjectRequest, target: memoryview) -> None:
        """Read the chunk ``request.object_id`` into ``target``, which is as long as the chunk."""
        head = chunk_head(len(target))
        expected = b"\x08\x01\x10\x01\x1a" + varint(len(head) + len(target)) + head
        with self._post("pull-object", [request.SerializeToString()], 60.0) as response:
            prefix = response.read(len(expected))
            if prefix != expected:
                _content(_parsed(PullObjectResponse, prefix + response.read()))
                raise Unreachable("the server sent another object than was asked for")
            sha = hashlib.sha256(head)
            for start in range(0, len(target), _READ_BYTES):
                part = target[start : start + _READ_BYTES]
                _read_into(response, part)
                sha.update(part)
        if sha.hexdigest() != request.object_id:
            raise Unreachable("a chunk was damaged on its way")

    def push_object(self, request: PushObjectRequest, head: bytes, pieces: Sequence[memoryview]) -> bool:
        """Send the object whose bytes are ``head`` and ``pieces``; whether the server took it.

        The content goes last, after the small fields, so that it needs no copy.
        """
        length = len(head) + sum(map(len, pieces))
        opening = request.SerializeToString() + b"\x22" + varint(length) + head
        with self._post("push-object", [opening, *pieces], 60.0) as response:
            return _parsed(PushObjectResponse, response.read()).stored

    def shut(self) -> None:
        """Break all calls off, in whatever thread they wait, and begin no more."""
        self._shut = True
        for connection in list(self._busy):
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def reopen(self) -> None:
        """Undo :meth:`shut`."""
        self._shut = False

    def _headers(self) -> dict[str, str]:
        stamp = now().isoformat()
        signature = b64encode(sign_message(self._key, stamp.encode())).decode()
        return {**self._fixed, TIMESTAMP_HEADER: stamp, FLEET_HTTP_SIGNATURE_HEADER: signature}

    @contextmanager
    def _post(
        self, name: str, pieces: Sequence[bytes | memoryview], timeout: float
    ) -> Iterator[http.client.HTTPResponse]:
        try:
            connection, response = self._exchange(name, pieces, timeout)
        except (OSError, http.client.HTTPException) as error:
            raise failure(error, self._server) from error
        try:
            if response.status != http.client.OK:
                raise refusal(response.status, response.read(4000), response.headers["Date"], VERSIONS)
            yield response
            response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise failure(error, self._server) from error
        except BaseException:
            connection.close()
            raise
        else:
            self._idle.append(connection)
        finally:
            self._busy.discard(connection)

    def _exchange(
        self, name: str, pieces: Sequence[bytes | memoryview], timeout: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send the request; once more on a new connection where a kept one had gone stale."""
        while True:
            kept, connection = self._connection(timeout)
            self._busy.add(connection)
            try:
                connection.putrequest("POST", f"/v1/fleet/{name}", skip_accept_encoding=True)
                for key, value in self._headers().items():
                    connection.putheader(key, value)
                connection.putheader("Content-Length", str(sum(map(len, pieces))))
                connection.endheaders(pieces[0])
                for piece in pieces[1:]:
                    connection.send(piece)
                return connection, connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self._busy.discard(connection)
                connection.close()
                if not kept or self._shut or isinstance(error, TimeoutError):
                    raise

    def _connection(self, timeout: float) -> tuple[bool, http.client.HTTPConnection]:
        if self._shut:
            raise ConnectionAbortedError("the link is closing")
        try:
            connection = self._idle.pop()
        except IndexError:
            return False, connect(self._server, self._context, timeout)
        connection.sock.settimeout(timeout)
        return True, connection


def tls_context(
    server: str, root_certificates: Path | None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext | None:
    """How the server's certificate is judged, and what is shown to it; None for plain HTTP.

    Without ``root_certificates`` an ``https://`` server is judged by this machine's authorities. The
    private key is in the file ``key``, or in ``certificate`` beside it.
    """
    if root_certificates is None and not server.startswith("https://"):
        return None
    try:
        context = ssl.create_default_context(cafile=root_certificates)
    except OSError as error:
        what = f"The authority's certificate cannot be read: {error}."
        raise SettingsInvalid(what, where=str(root_certificates)) from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            what = f"The certificate and its key cannot be read: {error}."
            raise SettingsInvalid(what, where=str(certificate)) from error
    return context


def connect(server: str, context: ssl.SSLContext | None, timeout: float) -> http.client.HTTPConnection:
    """A connection to be opened by its first request; through the proxy of the environment, if any."""
    host, port = _host_and_port(server)
    if context is None:
        return http.client.HTTPConnection(host, port, timeout=timeout)
    proxy = _proxy(host, port)
    if proxy is None:
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    connection = http.client.HTTPSConnection(
        proxy.hostname or "", proxy.port or 3128, timeout=timeout, context=context
    )
    headers = {}
    if proxy.username:
        login = urllib.parse.unquote(f"{proxy.username}:{proxy.password or ''}")
        headers["Proxy-Authorization"] = "Basic " + b64encode(login.encode()).decode()
    connection.set_tunnel(host, port, headers)
    return connection


def proxy_of(server: str) -> str:
    """``host:port`` of the proxy that leads to ``server``; empty where none does."""
    proxy = _proxy(*_host_and_port(server))
    return f"{proxy.hostname}:{proxy.port or 3128}" if proxy else ""


def _proxy(host: str, port: int) -> urllib.parse.SplitResult | None:
    found = urllib.request.getproxies().get("https")
    if found is None or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    try:
        proxy = urllib.parse.urlsplit(found if "//" in found else f"//{found}")
        if proxy.hostname and proxy.port != 0:
            return proxy
    except ValueError:
        pass
    # what it says is not repeated: it can hold a password
    raise SettingsInvalid("HTTPS_PROXY is no address of a proxy.", hint="Write it as http://HOST:PORT")


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.removeprefix("https://").rpartition(":")
    if not host or not port.isdigit():
        raise SettingsInvalid(f"The server's address is host:port, not {server!r}.")
    return host.strip("[]"), int(port)


def _read_into(response: http.client.HTTPResponse, target: memoryview) -> None:
    done = 0
    while done < len(target):
        got = response.readinto(target[done:])
        if not got:
            raise http.client.IncompleteRead(b"", len(target) - done)
        done += got


def _parsed(kind: type[_ResponseT], data: bytes) -> _ResponseT:
    message = kind()
    try:
        message.ParseFromString(data)  # type: ignore[attr-defined]
    except Exception as error:
        raise Unreachable("the answer is not Flower's: is this the right server?") from error
    return message


def _content(response: PullObjectResponse) -> bytes:
    if not response.object_available:
        raise Unreachable("the server no longer has an object of this task")
    return response.object_content


def varint(value: int) -> bytes:
    """``value`` as protobuf writes lengths."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
