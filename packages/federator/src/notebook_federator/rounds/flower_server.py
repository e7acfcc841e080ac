"""The only thing on the network: Flower's Fleet API, for sites whose keys are known, and nothing else.

Each request passes an authentication and ends in Flower's own handler; between them lies
no web framework, and array chunks are streamed between socket and file, past protobuf.
A call for messages waits here until there is one, so that an idle site asks a few times a minute.

Touches of Flower that are not its public API:
    ``flwr.superlink.routers.fleet.node_auth.authenticate_node``;
    ``flwr.supercore.error.FlowerError``; ``flwr.supercore.object_store.NoObjectInStoreError``;
    ``flwr.supercore.constant.FLEET_HTTP_PUBLIC_KEY_HEADER``;
    ``flwr.proto``: ``message_pb2``.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

from fastapi import HTTPException, Request
from flwr.proto import message_pb2
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.supercore.error import FlowerError
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from nbfed_site.contracts import NbfedError, VersionSkew, canonical_json
from nbfed_site.link.fleet import (
    INSTANCE_HEADER,
    SLICE_HEADER,
    STATE_HEADER,
    VERSION_HEADER,
    VERSIONS,
)
from nbfed_site.link.pack import CHUNK_BYTES

from .flower_body import (
    PAGE_BYTES,
    PIECE_BYTES,
    Answer,
    Call,
    Chunk,
    Receive,
    Refusal,
    Scope,
    Send,
    answer_length,
    answer_page,
    body_length,
    body_of,
    hangs_up,
    kind_of,
    object_fields,
    send_answer,
    whole_body,
)
from .flower_calls import REQUESTS, perform
from .flower_desk import SiteDesk
from .legible import legible
from .mutual_tls import MutualTls, Visitor
from .uploads import Upload

HOLD_SECONDS = 8.0
CALL_BYTES = 1 << 20
OBJECT_BYTES = CHUNK_BYTES + (1 << 20)
_INLINE_BYTES = 1 << 16
_TEXT_LENGTH = 200
_CERTIFICATES = 1024
_MOST_BYTES = {"/v1/fleet/push-object": OBJECT_BYTES}

_log = logging.getLogger(__name__)


class FleetApp:
    """The ASGI application."""

    def __init__(self, desk: SiteDesk, mutual: MutualTls | None = None) -> None:
        self._desk, self._mutual = desk, mutual
        self._identify = functools.lru_cache(_CERTIFICATES)(mutual.identify) if mutual else None
        self._bells: dict[int, asyncio.Event] = {}
        self._pages = mutual.pages if mutual else {}
        self._turns = {path: asyncio.Lock() for path in self._pages}
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
        kind = b""
        path = scope["path"]
        page = self._pages.get(path)
        try:
            length = body_length(scope, PAGE_BYTES if page else _MOST_BYTES.get(path, CALL_BYTES))
            visitor = self._visitor(scope)
            if page is not None:
                status, answer = await answer_page(page, visitor, scope, receive, self._turns[path])
                kind = b"application/json"
            else:
                status, answer = 200, await self._answer(scope, length, receive, visitor)
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
        try:
            await send_answer(send, status, kind or kind_of(status), answer)
        finally:
            if isinstance(answer, Chunk):
                self._desk.store.drop(answer.file)

    def _visitor(self, scope: Scope) -> Visitor | None:
        """Who the caller is by its certificate; None where none is asked for."""
        if self._identify is None:
            return None
        try:
            return self._identify(scope["state"]["certificate"])
        except NbfedError as error:
            raise Refusal(403, error.what) from error

    async def _answer(self, scope: Scope, length: int, receive: Receive, visitor: Visitor | None) -> Answer:
        call = self._admit(scope, length, visitor)
        if call.name == "push-object":
            return await self._take_object(call, scope, receive)
        request = self._checked(call, scope, await whole_body(receive))
        if call.name == "pull-messages":
            await self._wait(request.node.node_id, receive)
            self._check_member(call.key, visitor)
        answer = perform(self._desk, call, request)
        self._desk.answered(call, answer_length(answer))
        return answer

    def _admit(self, scope: Scope, length: int, visitor: Visitor | None) -> Call:
        """Turn away what can be judged by its headers alone."""
        room, _, name = scope["path"].rpartition("/")
        if room != "/v1/fleet" or scope["method"] != "POST" or name not in REQUESTS:
            raise Refusal(404, "not found")
        headers = {key.decode("latin-1"): value for key, value in scope["headers"]}
        try:
            key = b64decode(headers.get(FLEET_HTTP_PUBLIC_KEY_HEADER, b""), validate=True)
        except NotBase64:
            key = b""
        self._check_member(key, visitor)

        def text(name: str) -> str:
            found = cast(bytes, headers.get(name, b"")).decode("latin-1")[:_TEXT_LENGTH]
            return cast(str, legible(found))

        return Call(
            name,
            key,
            length,
            instance=text(INSTANCE_HEADER),
            versions=text(VERSION_HEADER),
            slice_digest=text(SLICE_HEADER),
            state=text(STATE_HEADER),
        )

    def _check_member(self, key: bytes, visitor: Visitor | None) -> None:
        """One key for the certificate, for Flower's header, and for the member of that name."""
        if visitor is not None and visitor.role != "site":
            raise Refusal(403, "this certificate is not a site's")
        if visitor is not None and visitor.public_key_pem != key:
            raise Refusal(403, "another key than the certificate's")
        if self._desk.knows(key, None if visitor is None else visitor.site):
            return
        reason = self._mutual.why_not(visitor) if self._mutual and visitor else ""
        raise Refusal(403, reason or "unknown key")

    def _checked(self, call: Call, scope: Scope, data: bytes) -> Any:
        """The request, once its sender is authenticated."""
        request = REQUESTS[call.name]()
        try:
            request.ParseFromString(data)
        except DecodeError as error:
            raise Refusal(400, "not the protobuf message of this call") from error
        self._authenticate(call, scope, request)
        if call.versions != VERSIONS:
            self._desk.skewed(call.key, call.versions or "versions that it does not name")
            raise Refusal(426, VERSIONS)
        if self._mutual is not None and call.slice_digest != self._mutual.slice_digest:
            self._desk.strayed(call.key)
            raise Refusal(426, _another_slice(call.slice_digest, self._mutual.slice_digest))
        self._desk.heard(call)
        return request

    def _authenticate(self, call: Call, scope: Scope, request: Any) -> None:
        """Whether the caller holds the key, and the node is that key's.

        TLS proves the key where it asks for certificates; Flower's own proof, a signed time of day, would
        shut out a site whose clock is off.
        """
        if self._mutual is None:
            authenticate_node(Request({**scope, "app": self._app, "state": {"protobuf_request": request}}))
        elif call.name == "activate-node":
            if request.public_key != call.key:
                raise Refusal(401, "another key than the certificate's")
        else:
            node_id = request.node.node_id if hasattr(request, "node") else request.node_id
            if node_id != self._desk.state.get_node_id_by_public_key(call.key):
                raise Refusal(401, "no node of this site")

    async def _take_object(self, call: Call, scope: Scope, receive: Receive) -> bytes:
        """Stream an object to its place, after its sender has been authenticated."""
        body = body_of(receive)
        fields, content, length = await object_fields(body)
        request = self._checked(call, scope, fields)
        upload = self._desk.upload(request, length)
        stored = upload is not None and await self._stream(upload, content, body, request.session_id)
        if stored:
            self._desk.stored(request.session_id, request.object_id)
        return cast(bytes, message_pb2.PushObjectResponse(stored=stored).SerializeToString())

    async def _stream(
        self, upload: Upload, content: memoryview, body: AsyncIterator[bytes], session_id: str
    ) -> bool:
        run = _inline if upload.length <= _INLINE_BYTES else asyncio.to_thread
        try:
            pending = bytearray(content)  # and no list: its pieces may be of one byte each
            async for piece in body:
                pending += piece
                if len(pending) >= PIECE_BYTES:
                    await run(upload.write, [memoryview(pending)])
                    pending = bytearray()
            await run(upload.write, [memoryview(pending)])
            await run(upload.finish)
        except OSError as error:
            self._desk.full(session_id, error)
            return False
        except (ValueError, NoObjectInStoreError) as error:
            _log.info("an object was refused: %s", error)
            return False
        finally:
            upload.close()
        return True

    async def _wait(self, node_id: int, receive: Receive) -> None:
        """Hold a call for messages until there is one, the caller hangs up, or some seconds pass."""
        if self._desk.waiting(node_id):
            return
        bell = self._bells[node_id] = asyncio.Event()
        waits = [asyncio.ensure_future(bell.wait()), asyncio.ensure_future(hangs_up(receive))]
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


async def _inline(function: Callable[..., None], *values: Any) -> None:
    function(*values)


def _another_slice(theirs: str, ours: str) -> str:
    what = f"This site runs the slice {theirs or '?'}, but the federation's is {ours}."
    hint = "Use the newest kit, and the image that it names."
    return canonical_json({"code": VersionSkew.code, "what": what, "hint": hint}).decode()
