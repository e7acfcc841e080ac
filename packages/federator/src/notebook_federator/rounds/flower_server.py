"""The only thing on the network: Flower's Fleet API, for sites whose keys are known, and nothing else.

Each request passes Flower's node authentication and ends in Flower's own handler; between them lies
no web framework, and array chunks are streamed between socket and file, past protobuf.
A call for messages waits here until there is one, so that an idle site asks a few times a minute.

Touches of Flower that are not its public API:
    ``flwr.superlink.servicer.fleet.fleet_handlers``: seven handlers;
    ``flwr.superlink.routers.fleet.node_auth.authenticate_node``;
    ``flwr.supercore.error.FlowerError``; ``flwr.supercore.object_store.NoObjectInStoreError``;
    ``flwr.supercore.constant.FLEET_HTTP_PUBLIC_KEY_HEADER``;
    ``flwr.proto``: ``fleet_pb2``, ``heartbeat_pb2``, ``message_pb2``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol, cast

from fastapi import HTTPException, Request
from flwr.proto import fleet_pb2, heartbeat_pb2, message_pb2
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.supercore.error import FlowerError
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.superlink.servicer.fleet import fleet_handlers
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from nbfed_site.link.fleet import INSTANCE_HEADER, VERSION_HEADER, VERSIONS, varint
from nbfed_site.link.pack import CHUNK_BYTES, chunk_head

from .object_store import RunFile, SpillingStore
from .uploads import Upload

HOLD_SECONDS = 8.0
IDLE_SECONDS = 60.0
CALL_BYTES = 8 << 20
OBJECT_BYTES = CHUNK_BYTES + (1 << 20)
_FIELD_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20
_INLINE_BYTES = 1 << 16
_CONTENT_TAG = 0x22

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

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


@dataclass(frozen=True, slots=True)
class Chunk:
    """An answer that is streamed from a file: ``opening``, then the chunk at ``position``."""

    opening: bytes
    file: RunFile
    position: int


Answer = bytes | Chunk


class Desk(Protocol):
    """Who the sites are, and what is to be known about each call. All methods return at once."""

    state: Any
    store: SpillingStore

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

    def upload(self, request: Any, length: int) -> Upload | None:
        """Begin to take an object of ``length`` bytes; None if it is not wanted from this node."""

    def stored(self, session_id: str, object_id: str) -> None:
        """An object of a reply has arrived."""


class FleetApp:
    """The ASGI application."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._bells: dict[int, asyncio.Event] = {}
        factory = SimpleNamespace(state=lambda: desk.state)
        self._app = SimpleNamespace(state=SimpleNamespace(linkstate_factory=factory))

    def ring(self, node_id: int) -> None:
        """Wake a waiting node; from the event loop's thread only."""
        if (bell := self._bells.get(node_id)) is not None:
            bell.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer: Answer
        try:
            status, answer = 200, await self._answer(scope, receive)
        except Refusal as refusal:
            status, answer = refusal.status, str(refusal).encode()
        except FlowerError as error:
            status, answer = 409, error.message.encode()
        except HTTPException as error:
            status, answer = error.status_code, str(error.detail).encode()
        except TimeoutError:
            status, answer = 408, b"the body did not come in time"
        except Exception:
            _log.exception("a Fleet call failed")
            status, answer = 500, b"internal error"
        await _send(send, status, answer)
        if isinstance(answer, Chunk):
            self._desk.store.drop(answer.file)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        call = self._admit(scope)
        if call.name == "push-object":
            return await self._take_object(call, scope, receive)
        pieces = [piece async for piece in _body(receive)]
        request = self._checked(call, scope, b"".join(pieces))
        if call.name == "pull-messages":
            await self._wait(request.node.node_id, receive)
        answer = self._handle(call, request)
        self._desk.answered(call, _length(answer))
        return answer

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

    def _checked(self, call: Call, scope: Scope, data: bytes) -> Any:
        """The request, once Flower's node authentication has passed it."""
        request = REQUESTS[call.name]()
        try:
            request.ParseFromString(data)
        except DecodeError as error:
            raise Refusal(400, "not the protobuf message of this call") from error
        authenticate_node(Request({**scope, "app": self._app, "state": {"protobuf_request": request}}))
        if call.versions != VERSIONS:
            self._desk.skewed(call.key, call.versions)
            raise Refusal(426, VERSIONS)
        self._desk.heard(call)
        return request

    async def _take_object(self, call: Call, scope: Scope, receive: Receive) -> bytes:
        """Stream an object to its place, after its sender has been authenticated."""
        body = _body(receive)
        fields, content, length = await _object_fields(body)
        request = self._checked(call, scope, fields)
        upload = self._desk.upload(request, length)
        stored = upload is not None and await self._stream(upload, content, body, length)
        if stored:
            self._desk.stored(request.session_id, request.object_id)
        return cast(bytes, message_pb2.PushObjectResponse(stored=stored).SerializeToString())

    async def _stream(
        self, upload: Upload, content: memoryview, body: AsyncIterator[bytes], length: int
    ) -> bool:
        run = _inline if length <= _INLINE_BYTES else asyncio.to_thread
        try:
            pieces, size = [content], len(content)
            async for piece in body:
                pieces.append(memoryview(piece))
                size += len(piece)
                if size >= _PIECE_BYTES:
                    await run(upload.write, pieces)
                    pieces, size = [], 0
            if pieces:
                await run(upload.write, pieces)
            await run(upload.finish)
        except (ValueError, OSError, NoObjectInStoreError) as error:
            _log.warning("an object was refused: %s", error)
            return False
        finally:
            upload.close()
        return True

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

    def _handle(self, call: Call, request: Any) -> Answer:
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
            case _:
                return _pull(store, request.object_id)
        return cast(bytes, answer.SerializeToString())


def _check_sender(request: Any) -> None:
    """Flower knows who calls, and to whom a task went, but does not compare the two."""
    if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
        raise Refusal(400, "one message at a time")
    if request.messages_list[0].metadata.src_node_id != request.node.node_id:
        raise Refusal(403, "a reply in another site's name")


def _pull(store: SpillingStore, object_id: str) -> Answer:
    if (place := store.chunk_at(object_id)) is not None:
        file, position = place
        head = chunk_head(file.length_at(position))
        opening = b"\x08\x01\x10\x01\x1a" + varint(len(head) + file.length_at(position)) + head
        return Chunk(opening, file, position)
    content = store.get(object_id)
    answer = message_pb2.PullObjectResponse(
        object_found=content is not None, object_available=bool(content), object_content=content or b""
    )
    return cast(bytes, answer.SerializeToString())


def _length(answer: Answer) -> int:
    if isinstance(answer, Chunk):
        return len(answer.opening) + answer.file.length_at(answer.position)
    return len(answer)


async def _send(send: Send, status: int, answer: Answer) -> None:
    kind = b"application/protobuf" if status == 200 else b"text/plain; charset=utf-8"
    headers = [(b"content-type", kind), (b"content-length", str(_length(answer)).encode())]
    if status in (408, 411, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if isinstance(answer, bytes):
        await send({"type": "http.response.body", "body": answer})
        return
    await send({"type": "http.response.body", "body": answer.opening, "more_body": True})
    start, length = answer.position * CHUNK_BYTES, answer.file.length_at(answer.position)
    for done in range(0, length, _PIECE_BYTES):
        size = min(_PIECE_BYTES, length - done)
        piece = await asyncio.to_thread(os.pread, answer.file.descriptor, size, start + done)
        await send({"type": "http.response.body", "body": piece, "more_body": done + size < length})


async def _inline(function: Callable[..., None], *values: Any) -> None:
    function(*values)


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    """The body of a request as it comes; its length was judged by the header and is kept by HTTP."""
    more = True
    while more:
        async with asyncio.timeout(IDLE_SECONDS):
            event = await receive()
        if event["type"] != "http.request":
            raise Refusal(499, "gone")
        more = event.get("more_body", False)
        yield event.get("body", b"")


async def _hangs_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _object_fields(body: AsyncIterator[bytes]) -> tuple[bytes, memoryview, int]:
    """Read a ``PushObjectRequest`` up to its content, which must be its last field.

    Returns the other fields, the beginning of the content, and the length of the content.
    """
    data = b""
    async for piece in body:
        data += piece
        if (found := _content_field(data)) is not None:
            tag, start, length = found
            return data[:tag], memoryview(data)[start:], length
        if len(data) > _FIELD_BYTES:
            break
    return data, memoryview(b""), 0


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
