"""Bodies of Fleet calls, in and out: read as they come, taken apart field by field, streamed from files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from nbfed_site.contracts import canonical_json
from nbfed_site.link.pack import CHUNK_BYTES

from .mutual_tls import Page, Visitor
from .run_file import RunFile

PIECE_BYTES = 1 << 20
IDLE_SECONDS = 60.0
PAGE_BYTES = 1 << 16
_PAGE_SECONDS = 20.0
_FIELD_BYTES = 1 << 10
_LENGTH_DIGITS = 12
_CONTENT_TAG = 0x22

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


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
    length: int
    instance: str = ""
    versions: str = ""
    slice_digest: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """An answer that is streamed from a file: ``opening``, then the chunk at ``position``."""

    opening: bytes
    file: RunFile
    position: int


Answer = bytes | Chunk


def answer_length(answer: Answer) -> int:
    if isinstance(answer, Chunk):
        return len(answer.opening) + answer.file.length_at(answer.position)
    return len(answer)


def kind_of(status: int) -> bytes:
    """The content type of a Fleet call's answer."""
    return b"application/protobuf" if status == 200 else b"text/plain; charset=utf-8"


async def send_answer(send: Send, status: int, kind: bytes, answer: Answer) -> None:
    """Send an answer whole; one that its asker does not read ends with TimeoutError."""
    headers = [(b"content-type", kind), (b"content-length", str(answer_length(answer)).encode())]
    if status in (408, 411, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if isinstance(answer, bytes):
        await _send_piece(send, answer, False)
        return
    await _send_piece(send, answer.opening, True)
    start, length = answer.position * CHUNK_BYTES, answer.file.length_at(answer.position)
    for done in range(0, length, PIECE_BYTES):
        size = min(PIECE_BYTES, length - done)
        piece = await asyncio.to_thread(os.pread, answer.file.descriptor, size, start + done)
        await _send_piece(send, piece, done + size < length)


async def _send_piece(send: Send, piece: bytes, more: bool) -> None:
    async with asyncio.timeout(IDLE_SECONDS):
        await send({"type": "http.response.body", "body": piece, "more_body": more})


def body_length(scope: Scope, most: int) -> int:
    """How long a request says that its body is; HTTP takes no more of it.

    Raises:
        Refusal: it does not say, or it is more than ``most`` bytes.
    """
    headers = dict(scope["headers"])
    unsaid = scope["method"] == "POST" or b"transfer-encoding" in headers
    length: bytes = headers.get(b"content-length", b"" if unsaid else b"0")
    if not length.isdigit():
        raise Refusal(411, "length required")
    if len(length) > _LENGTH_DIGITS or int(length) > most:
        raise Refusal(413, "too large")
    return int(length)


async def whole_body(receive: Receive) -> bytes:
    """The body of a request; however small its pieces, it takes no more memory than its length."""
    data = bytearray()
    async for piece in body_of(receive):
        data += piece
    return bytes(data)


async def body_of(receive: Receive) -> AsyncIterator[bytes]:
    """The body of a request as it comes; its length was judged by the header and is kept by HTTP."""
    more = True
    while more:
        async with asyncio.timeout(IDLE_SECONDS):
            event = await receive()
        if event["type"] != "http.request":
            raise Refusal(499, "gone")
        more = event.get("more_body", False)
        yield event.get("body", b"")


async def answer_page(
    page: Page, visitor: Visitor | None, scope: Scope, receive: Receive, turn: asyncio.Lock
) -> tuple[int, bytes]:
    """Read the request of a page, and have it answered: the status, and JSON.

    One at a time, by ``turn``: who asks for a page without end leaves the threads to the sites' transfers.
    """
    if scope["method"] != page.method:
        raise Refusal(404, "not found")
    if visitor is None or visitor.role != page.role:
        raise Refusal(403, f"this is for the certificate of a {page.role}")
    async with asyncio.timeout(_PAGE_SECONDS):
        data = await whole_body(receive)
    async with turn:
        status, value = await asyncio.to_thread(page.answer, visitor, data)
    return status, canonical_json(value)


async def hangs_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def object_fields(body: AsyncIterator[bytes]) -> tuple[bytes, memoryview, int]:
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
            raise Refusal(400, "not the protobuf message of this call")
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
