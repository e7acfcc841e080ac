"""Messages under way, and what their replies say.

Touches of Flower that are not its public API:
    ``flwr.supercore.inflatable.inflatable_object``: ``iterate_object_tree``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from nbfed_site.contracts import (
    BadInput,
    RoundInput,
    RoundOutput,
    SiteFailure,
    TaskRefused,
    output_from_header,
    rebuilt,
)
from nbfed_site.link.pack import CHUNK_BYTES, slots_from_json, total_bytes
from nbfed_site.link.records import Run, open_parcel

from .legible import legible
from .object_store import SpillingStore
from .spooled import SpooledArrays

_WORDS = 500
_ARRIVALS = 20
_BRANCHES = 4  # of a reply's objects: the message, its content, the record of arrays, and their run


@dataclass(slots=True)
class Member:
    """One site. ``down`` and ``up`` count bytes since the start.

    ``state`` is the last that it said of itself; ``complaint`` says why calls of it were refused since it
    came last; ``arrivals`` are the last times that it came.
    """

    site: str
    key: bytes
    node_id: int
    instance: str = ""
    present: bool = False
    heard_at: float = 0.0
    state: str = ""
    complaint: str = ""
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=_ARRIVALS))
    down: int = 0
    up: int = 0


@dataclass(slots=True)
class Sent:
    """A message under way to one site, or waiting for the reply, whose arrays may have ``most`` bytes."""

    member: Member
    task: RoundInput
    sent_at: float
    down: int
    up: int
    most: int
    reply_id: str = ""
    session_id: str = ""
    missing: set[str] = field(default_factory=set)
    tree: Any = None


def check_tree(tree: Any, most: int) -> None:
    """Judge which objects a reply is to consist of; ``most`` as in :class:`Sent`.

    Raises:
        BadInput: there are more than a reply has, in another order.
    """
    nodes = list(iterate_object_tree(tree))
    chunks = -(-most // CHUNK_BYTES)
    if sum(bool(node.children) for node in nodes) > _BRANCHES or len(nodes) > chunks + _BRANCHES + 1:
        raise BadInput("These are not the objects of a reply.")


def read_reply(sent: Sent, store: SpillingStore) -> RoundOutput | SiteFailure:
    """What a complete reply says: an output, the site's own failure, or that it cannot be read."""
    try:
        said, run = open_parcel(sent.tree, lambda key: store.get(key) or b"")
        header = legible(said)
        if "failure" in header:
            return rebuilt(SiteFailure, header["failure"])
        arrays = None if run is None else _arrays(run, header["layout"], store)
        output = output_from_header(header["output"], arrays)
        task = sent.task
        if (output.task_id, output.kind, output.round) != (task.task_id, task.kind, task.round):
            raise BadInput("The reply is to another task.")
    except (AttributeError, BadInput, KeyError, RecursionError, TypeError, ValueError) as error:
        what = f"The reply of site {sent.member.site} cannot be read: {error}"
        return SiteFailure(TaskRefused.code, what[:_WORDS].encode(errors="replace").decode())
    return output


def _arrays(run: Run, layout: Any, store: SpillingStore) -> SpooledArrays:
    slots, file = slots_from_json(layout), store.find_file(run.object_id)
    if file is None or total_bytes(slots) != run.nbytes:
        raise BadInput("The arrays do not fit their layout.")
    if not file.is_whole:
        raise BadInput("A part of the arrays is no chunk of its length.")
    return SpooledArrays(file, slots, store)
