"""Named arrays as one run of bytes, cut into chunks of equal size: what crosses the wire.

One run instead of one object per array: a network of 300 small arrays then costs as many HTTP calls
as one of 3. Arrays stand in order, raw and in C order, each at a multiple of 64 bytes, so that the
receiver uses them in place. float32 arrays may travel as bfloat16.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nbfed_site.arrays.wire import decode_bf16, encode_bf16
from nbfed_site.contracts import Array, Arrays, BadInput

Wire = Literal["fp32", "bf16"]

CHUNK_BYTES = 16 << 20
_ALIGN = 64
_PLAIN_KINDS = "biufcSU"
_MOST_SIDES, _MOST_BYTES = 32, 1 << 48


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one array lies in the run. ``encoding`` is ``"bf16"`` or empty."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    encoding: str
    offset: int
    nbytes: int


def slots_json(slots: Iterable[Slot]) -> list[list[Any]]:
    """The layout as plain JSON values."""
    return [[slot.name, slot.dtype, list(slot.shape), slot.encoding] for slot in slots]


def slots_from_json(rows: Sequence[Any]) -> tuple[Slot, ...]:
    """The inverse of :func:`slots_json`.

    Raises:
        BadInput: not such a layout.
    """
    if not isinstance(rows, list):
        raise BadInput("The layout of the arrays cannot be read.")
    slots: list[Slot] = []
    for row in rows:
        slots.append(_slot(row, slots))
    return tuple(slots)


def _slot(row: Any, before: Sequence[Slot]) -> Slot:
    offset = -(-total_bytes(before) // _ALIGN) * _ALIGN
    try:
        name, dtype, shape, encoding = row
        shape, kind = tuple(shape), np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise BadInput("The layout of the arrays cannot be read.") from error
    sound = isinstance(name, str) and all(type(side) is int and side >= 0 for side in shape)
    if not sound or not _is_plain(kind, dtype, shape) or encoding not in ("", "bf16"):
        raise BadInput(f"Array {name!r} of type {dtype!r} cannot be sent.")
    return Slot(name, dtype, shape, encoding, offset, math.prod(shape) * (2 if encoding else kind.itemsize))


def _is_plain(kind: np.dtype[Any], written: Any, shape: tuple[int, ...]) -> bool:
    """Whether NumPy can make such an array: it has limits even for arrays without elements."""
    if kind.kind not in _PLAIN_KINDS or kind.str != written or kind.itemsize == 0:
        return False
    room = math.prod(max(side, 1) for side in shape) * kind.itemsize
    return len(shape) <= _MOST_SIDES and room <= _MOST_BYTES


def total_bytes(slots: Sequence[Slot]) -> int:
    """Length of the run."""
    return slots[-1].offset + slots[-1].nbytes if slots else 0


def chunks_of(arrays: Arrays, wire: Wire, slots: list[Slot]) -> Iterator[list[memoryview]]:
    """The run in chunks of :data:`CHUNK_BYTES` (the last may be shorter), each as views of the arrays.

    ``slots`` receives the layout, array by array; each array is read once. No bytes are copied but
    those of arrays that are not in C order or are encoded.

    Raises:
        BadInput: an array holds Python objects or another type that has no plain bytes.
    """
    chunk: list[memoryview] = []
    room = CHUNK_BYTES
    for piece in _pieces(arrays, wire, slots):
        rest = piece
        while len(rest):
            part, rest = rest[:room], rest[room:]
            chunk.append(part)
            room -= len(part)
            if room == 0:
                yield chunk
                chunk, room = [], CHUNK_BYTES
    if chunk:
        yield chunk


def _pieces(arrays: Arrays, wire: Wire, slots: list[Slot]) -> Iterator[memoryview]:
    for name, array in arrays.items():
        end = total_bytes(slots)
        encoding = "bf16" if wire == "bf16" and array.dtype == "<f4" else ""
        slots.append(_slot((name, array.dtype.str, array.shape, encoding), slots))
        yield memoryview(bytes(slots[-1].offset - end))
        plain = encode_bf16(array.astype(np.float32, copy=False)) if encoding else array
        if array.size:
            yield np.ascontiguousarray(plain).reshape(-1).view(np.uint8).data


def array_at(slot: Slot, run: NDArray[np.uint8], start: int = 0) -> Array:
    """The array in ``slot`` of a run whose byte ``start`` is ``run[0]``: a view where not encoded."""
    raw = run[slot.offset - start : slot.offset - start + slot.nbytes]
    if slot.encoding:
        return decode_bf16(raw.view("<u2")).reshape(slot.shape)
    return raw.view(slot.dtype).reshape(slot.shape)


def chunk_head(length: int) -> bytes:
    """How Flower opens an ``ArrayChunk`` object of ``length`` bytes."""
    return b"ArrayChunk  %d\x00" % length


def chunk_id(chunk: Sequence[memoryview]) -> str:
    """Flower's object id of a chunk: the SHA-256 of its head and its bytes."""
    sha = hashlib.sha256(chunk_head(sum(map(len, chunk))))
    for piece in chunk:
        sha.update(piece)
    return sha.hexdigest()
