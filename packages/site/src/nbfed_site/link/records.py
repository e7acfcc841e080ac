"""Flower messages as this project uses them: one JSON header, and at most one run of array bytes.

Touches of Flower that are not its public API:
    ``flwr.app.message``: ``Array`` (its cached ``_chunks``), ``arraychunk.ArrayChunk``, ``make_message``;
    ``flwr.app.metadata``: ``Metadata`` (its ``_message_id``);
    ``flwr.supercore.inflatable.inflatable_object``: ``get_all_nested_objects``, ``get_object_body``,
    ``get_object_children_ids_from_object_content``, ``get_object_tree``, ``no_object_id_recompute``;
    ``flwr.proto.message_pb2``: ``ObjectTree``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message.arraychunk import ArrayChunk
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_body,
    get_object_children_ids_from_object_content,
    get_object_tree,
    no_object_id_recompute,
)
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nbfed_site.contracts import BadInput, canonical_json

from .pack import CHUNK_BYTES

_RUN_TYPE = "nbfed.run.1/"
_STRANGE = (AttributeError, DecodeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of array bytes: its object's id, its length, and its chunks in order (repeats included)."""

    object_id: str
    nbytes: int
    chunk_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message ready to be sent: ``objects`` are its deflated objects, parents first, chunks left out."""

    message: Message
    tree: ObjectTree
    objects: Mapping[str, bytes]


class _KnownChunk(ArrayChunk):
    """A chunk whose bytes lie elsewhere."""

    def __init__(self, known_id: str) -> None:
        self.known_id = known_id

    @property
    def object_id(self) -> str:
        return self.known_id


def content_of(header: Mapping[str, Any], nbytes: int | None, chunk_ids: Sequence[str] = ()) -> RecordDict:
    """The content of a message: the header and, unless ``nbytes`` is None, the run of its arrays.

    A nonce keeps the objects of equal replies apart; only chunks may be shared.
    """
    nonce = uuid.uuid4().hex
    record = ConfigRecord({"json": canonical_json(header), "nonce": nonce})
    content = RecordDict({"header": record})
    if nbytes is not None:
        run = Array(dtype="uint8", shape=(nbytes,), stype=_RUN_TYPE + nonce, data=b"")
        arrays = content["arrays"] = ArrayRecord()
        arrays["run"] = run
        run.__dict__["_chunks"] = [(known_id, _KnownChunk(known_id)) for known_id in chunk_ids]
    return content


def parcel(metadata: Metadata, content: RecordDict) -> Parcel:
    """Give the message its id and take it apart into objects."""
    message = make_message(metadata=metadata, content=content)
    tree, objects = objects_of(message)
    metadata.__dict__["_message_id"] = tree.object_id
    return Parcel(make_message(metadata=metadata, content=RecordDict()), tree, objects)


def objects_of(whole: Message | RecordDict) -> tuple[ObjectTree, dict[str, bytes]]:
    """The tree of a message or of its content, and its deflated objects as in :class:`Parcel`."""
    with no_object_id_recompute():
        tree = get_object_tree(whole)
        nested = reversed(get_all_nested_objects(whole).items())
        return tree, {key: item.deflate() for key, item in nested if not isinstance(item, _KnownChunk)}


def open_parcel(tree: ObjectTree, fetch: Callable[[str], bytes]) -> tuple[dict[str, Any], Run | None]:
    """The header of a message and where its arrays are, reading as few objects as that takes.

    Raises:
        BadInput: the message is not of the form that :func:`content_of` makes.
    """
    try:
        content = json.loads(get_object_body(fetch(tree.children[0].object_id), RecordDict))
        record = ConfigRecord.inflate(fetch(content["header"]))
        header = dict(json.loads(cast(bytes, record["json"])))
        if "arrays" not in content:
            return header, None
        arrays = json.loads(get_object_body(fetch(content["arrays"]), ArrayRecord))
        return header, run_from_object(arrays["run"], fetch(arrays["run"]))
    except _STRANGE as error:
        raise BadInput("A message is not of the agreed form.") from error


def run_from_object(object_id: str, data: bytes) -> Run:
    """Read the deflated ``Array`` object of a run.

    Raises:
        ValueError: it is not one.
    """
    try:
        body = json.loads(get_object_body(data, Array))
        (nbytes,), order = body["shape"], body["arraychunk_ids"]
        sound = all(type(number) is int and number >= 0 for number in (nbytes, *order))
        if not sound or not body["stype"].startswith(_RUN_TYPE) or len(order) != -(-nbytes // CHUNK_BYTES):
            raise ValueError(f"{nbytes} bytes in {len(order)} chunks, serialised as {body['stype']!r}")
        unique = get_object_children_ids_from_object_content(data)
        return Run(object_id, nbytes, tuple(unique[index] for index in order))
    except _STRANGE as error:
        raise ValueError(f"no run of array bytes: {error}") from error
