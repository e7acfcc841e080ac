"""The only thing on the network: Flower's Fleet API, for sites whose keys are known, and nothing else.

Each request passes Flower's node authentication and ends in Flower's own handler; between them lies
no web framework, and the two calls that carry array chunks never copy the content through protobuf.
A call for messages waits here until there is one, so that an idle site asks a few times a minute.

Touches of Flower that are not its public API:
    ``flwr.superlink.servicer.fleet.fleet_handlers``: seven handlers;
    ``flwr.superlink.routers.fleet.node_auth.authenticate_node``;
    ``flwr.supercore.error.FlowerError``; ``flwr.supercore.constant.FLEET_HTTP_PUBLIC_KEY_HEADER``;
    ``flwr.proto``: ``fleet_pb2``, ``heartbeat_pb2``, ``message_pb2``.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

from fastapi import HTTPException, Request
from flwr.proto import fleet_pb2, heartbeat_pb2, message_pb2
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.supercore.error import FlowerError
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.superlink.servicer.fleet import fleet_handlers
from google.protobuf.message import DecodeError

from nbfed_site.link.fleet import INSTANCE_HEADER, VERSION_HEADER, VERSIONS
from nbfed_site.link.pack import CHUNK_BYTES

HOLD_SECONDS = 8.0
BODY_SECONDS = 60.0
CALL_BYTES = 8 << 20
OBJECT_BYTES = CHUNK_BYTES + (1 << 20)
_UPLOADS_AT_ONCE = 16
_CONTENT_TAG = 0x22

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Body = list[bytes | memoryview]

REQUESTS: Mapping[str, Any] = {
    "activate-node": fleet_pb2.ActivateNodeRequest,
    "deactivate-node": fleet_pb2.DeactivateNodeRequest,
    "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest,
    "pull-messages": fleet_pb2.PullMessagesRequest,
    "push-messages": fleet_pb2.PushMessagesRequest,
    "confirm-message-received": message_pb2.ConfirmMessageReceivedRequest,
    "pull-object": message_pb2.PullObjectRequest,
    "push-object": message_pb2.PushObjectRequest,
}


class Refusal(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came. ``name`` is the last part of its path."""

    name: str
    key: bytes
    instance: str
    versions: str
    length: int


class Desk(Protocol):
    """Who the sites are, and what is to be known about each call. All methods return at once."""

    state: Any
    store: Any

    def knows(self, key: bytes) -> bool:
        """Whether a site has this public key."""

    def skewed(self, key: bytes, versions: str) -> None:
        """A site with other versions was turned away."""

    def heard(self, call: Call) -> None:
        """An authenticated call has come."""

    def answered(self, call: Call, down: int) -> None:
        """A call is answered with ``down`` bytes."""

    def waiting(self, node_id: int) -> bool:
        """Whether a message is ready for this node, or the server is closing."""

    def activated(self, node_id: int, instance: str) -> None:
        """A node became active."""

    def left(self, node_id: int) -> None:
        """A node said goodbye."""

    def confirmed(self, node_id: int, message_id: str) -> None:
        """A node has read a message whole."""

    def replying(self, node_id: int, request: Any, answer: Any) -> None:
        """A node announced a reply; ``answer`` says what of it is missing."""

    def stored(self, session_id: str, object_id: str) -> None:
        """An object of a reply has arrived."""


class FleetApp:
    """The ASGI application."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._bells: dict[int, asyncio.Event] = {}
        self._uploads = asyncio.Semaphore(_UPLOADS_AT_ONCE)
        factory = SimpleNamespace(state=lambda: desk.state)
        self._app = SimpleNamespace(state=SimpleNamespace(linkstate_factory=factory))

    def ring(self, node_id: int) -> None:
        """Wake a waiting node; from the event loop's thread only."""
        if (bell := self._bells.get(node_id)) is not None:
            bell.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            status, body = 200, await self._answer(scope, receive)
        except TimeoutError:
            status, body = 408, [b"the body did not come in time"]
        except Refusal as refusal:
            status, body = refusal.status, [str(refusal).encode()]
        except FlowerError as error:
            status, body = 409, [error.message.encode()]
        except HTTPException as error:
            status, body = error.status_code, [str(error.detail).encode()]
        except Exception:
            _log.exception("a Fleet call failed")
            status, body = 500, [b"internal error"]
        kind = b"application/protobuf" if status == 200 else b"text/plain; charset=utf-8"
        headers = [(b"content-type", kind), (b"content-length", str(sum(map(len, body))).encode())]
        if status in (411, 413):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in body[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": body[-1] if body else b""})

    async def _answer(self, scope: Scope, receive: Receive) -> Body:
        call = self._admit(scope)
        if call.name != "push-object":
            return await self._decide(call, scope, receive, b"".join(await _body(receive, call.length)), [])
        async with self._uploads:
            rest, content = _split(await _body(receive, call.length))
            return await self._decide(call, scope, receive, rest, content)

    def _admit(self, scope: Scope) -> Call:
        """Turn away what can be judged by its headers alone."""
        room, _, name = scope["path"].rpartition("/")
        if room != "/v1/fleet" or scope["method"] != "POST" or name not in REQUESTS:
            raise Refusal(404, "not found")
        headers = {key.decode("latin-1"): value for key, value in scope["headers"]}
        length = headers.get("content-length", b"")
        if not length.isdigit():
            raise Refusal(411, "length required")
        if int(length) > (OBJECT_BYTES if name == "push-object" else CALL_BYTES):
            raise Refusal(413, "too large")
        try:
            key = b64decode(headers.get(FLEET_HTTP_PUBLIC_KEY_HEADER, b""), validate=True)
        except NotBase64:
            key = b""
        if not self._desk.knows(key):
            raise Refusal(403, "unknown key")
        instance = headers.get(INSTANCE_HEADER, b"").decode("latin-1")
        return Call(name, key, instance, headers.get(VERSION_HEADER, b"?").decode("latin-1"), int(length))

    async def _decide(self, call: Call, scope: Scope, receive: Receive, data: bytes, content: Body) -> Body:
        request = REQUESTS[call.name]()
        try:
            request.ParseFromString(data)
        except DecodeError as error:
            raise Refusal(400, "not the protobuf message of this call") from error
        checked = Request({**scope, "app": self._app, "state": {"protobuf_request": request}})
        authenticate_node(checked)
        if call.versions != VERSIONS:
            self._desk.skewed(call.key, call.versions)
            raise Refusal(426, VERSIONS)
        self._desk.heard(call)
        if call.name == "pull-messages":
            await self._wait(request.node.node_id, receive)
        answer = await self._handle(call, request, content)
        self._desk.answered(call, sum(map(len, answer)))
        return answer

    async def _wait(self, node_id: int, receive: Receive) -> None:
        """Hold a call for messages until there is one, the caller hangs up, or some seconds pass."""
        if self._desk.waiting(node_id):
            return
        bell = self._bells[node_id] = asyncio.Event()
        waits = [asyncio.ensure_future(bell.wait()), asyncio.ensure_future(_hangs_up(receive))]
        try:
            if not self._desk.waiting(node_id):
                await asyncio.wait(waits, timeout=HOLD_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if waits[1].done():
                raise Refusal(499, "gone")
        finally:
            for wait in waits:
                wait.cancel()
            if self._bells.get(node_id) is bell:
                del self._bells[node_id]

    async def _handle(self, call: Call, request: Any, content: Body) -> Body:
        state, store, desk = self._desk.state, self._desk.store, self._desk
        match call.name:
            case "activate-node":
                answer = fleet_handlers.activate_node(request=request, state=state)
                desk.activated(answer.node_id, call.instance)
            case "deactivate-node":
                answer = fleet_handlers.deactivate_node(request=request, state=state)
                desk.left(request.node_id)
            case "send-node-heartbeat":
                answer = fleet_handlers.send_node_heartbeat(request=request, state=state)
            case "pull-messages":
                answer = fleet_handlers.pull_messages(request=request, state=state, store=store)
            case "push-messages":
                _check_sender(request)
                answer = fleet_handlers.push_messages(request=request, state=state)
                desk.replying(request.node.node_id, request, answer)
            case "confirm-message-received":
                answer = fleet_handlers.confirm_message_received(request=request, state=state, store=store)
                desk.confirmed(request.node.node_id, request.message_object_id)
            case "pull-object":
                return await asyncio.to_thread(_pull, store, request)
            case _:
                answer = await asyncio.to_thread(_push, state, store, request, content)
                if answer.stored:
                    desk.stored(request.session_id, request.object_id)
        return [answer.SerializeToString()]


def _check_sender(request: Any) -> None:
    """Flower checks who calls, and that a reply answers a message to its sender, but not that these are one."""
    if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
        raise Refusal(400, "one message at a time")
    if request.messages_list[0].metadata.src_node_id != request.node.node_id:
        raise Refusal(403, "a reply in another site's name")


def _pull(store: Any, request: Any) -> Body:
    pieces = store.read(request.object_id)
    if not pieces:
        answer = message_pb2.PullObjectResponse(object_found=pieces is not None)
        return [answer.SerializeToString()]
    opening = b"\x08\x01\x10\x01\x1a" + _varint(sum(map(len, pieces)))
    return [opening + pieces[0], *pieces[1:]]


def _push(state: Any, store: Any, request: Any, content: Body) -> Any:
    """Hash and write outside Flower's lock; Flower's own bookkeeping then finds the object in place."""
    try:
        store.accept(request.object_id, content)
    except Exception as error:
        _log.warning("an object was refused: %s", error)
        return message_pb2.PushObjectResponse(stored=False)
    stored = state.store_object(request.run_id, request.session_id, request.object_id, b"")
    return message_pb2.PushObjectResponse(stored=stored)


async def _body(receive: Receive, length: int) -> Body:
    pieces: Body = []
    got = 0
    async with asyncio.timeout(BODY_SECONDS):
        while True:
            event = await receive()
            if event["type"] != "http.request":
                raise Refusal(499, "gone")
            pieces.append(event.get("body", b""))
            got += len(pieces[-1])
            if not event.get("more_body"):
                break
    if got != length:
        raise Refusal(400, "the body has another length than announced")
    return pieces


async def _hangs_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _split(pieces: Body) -> tuple[bytes, Body]:
    """Take the content field out of a ``PushObjectRequest``; the other fields, and the content in pieces."""
    data, used = bytes(pieces[0]), 1
    while (found := _content_field(data)) is None and used < len(pieces) and len(data) < CALL_BYTES:
        data += pieces[used]
        used += 1
    if found is None:
        return data, [b""]
    tag, start, length = found
    content: Body = []
    rest = [data[:tag]]
    for piece in [memoryview(data)[start:], *pieces[used:]]:
        content.append(piece[:length])
        rest.append(bytes(piece[length:]))
        length -= len(content[-1])
    return b"".join(rest), [piece for piece in content if len(piece)] or [b""]


def _content_field(data: bytes) -> tuple[int, int, int] | None:
    """Positions of the content field's tag and content, and its length; None if ``data`` ends before it."""
    position = 0
    while position < len(data):
        start = position
        try:
            key, position = _read_varint(data, position)
            if key == _CONTENT_TAG:
                length, position = _read_varint(data, position)
                return start, position, length
            position = _skip(data, position, key & 7)
        except IndexError:
            return None
    return None


def _skip(data: bytes, position: int, wire_type: int) -> int:
    if wire_type == 0:
        return _read_varint(data, position)[1]
    if wire_type == 2:
        length, position = _read_varint(data, position)
        return position + length
    raise Refusal(400, "not the protobuf message of this call")


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise Refusal(400, "not the protobuf message of this call")


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
