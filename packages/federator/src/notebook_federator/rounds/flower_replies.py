"""Messages under way, and what their replies say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nbfed_site.contracts import (
    BadInput,
    RoundInput,
    RoundOutput,
    SiteFailure,
    TaskRefused,
    output_from_header,
    rebuilt,
)
from nbfed_site.link.pack import slots_from_json, total_bytes
from nbfed_site.link.records import Run, open_parcel

from .object_store import SpillingStore
from .spooled import SpooledArrays

_WORDS = 500


@dataclass(slots=True)
class Member:
    """One site. ``down`` and ``up`` count bytes since the start.

    ``state`` is the last that it said of itself; ``complaint`` says why its calls are refused now.
    """

    site: str
    key: bytes
    node_id: int
    instance: str = ""
    present: bool = False
    heard_at: float = 0.0
    state: str = ""
    complaint: str = ""
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
    missing: set[str] = field(default_factory=set)
    tree: Any = None


def read_reply(sent: Sent, store: SpillingStore) -> RoundOutput | SiteFailure:
    """What a complete reply says: an output, the site's own failure, or that it cannot be read."""
    try:
        header, run = open_parcel(sent.tree, lambda key: store.get(key) or b"")
        if "failure" in header:
            return rebuilt(SiteFailure, header["failure"])
        arrays = None if run is None else _arrays(run, header["layout"], store)
        output = output_from_header(header["output"], arrays)
        task = sent.task
        if (output.task_id, output.kind, output.round) != (task.task_id, task.kind, task.round):
            raise BadInput("The reply is to another task.")
    except (AttributeError, BadInput, KeyError, RecursionError, TypeError, ValueError) as error:
        what = f"The reply of site {sent.member.site} cannot be read: {error}"
        return SiteFailure(TaskRefused.code, what[:_WORDS])
    return output


def _arrays(run: Run, layout: Any, store: SpillingStore) -> SpooledArrays:
    slots, file = slots_from_json(layout), store.find_file(run.object_id)
    if file is None or total_bytes(slots) != run.nbytes:
        raise BadInput("The arrays do not fit their layout.")
    return SpooledArrays(file, slots, store)
