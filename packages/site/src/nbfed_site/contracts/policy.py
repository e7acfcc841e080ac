"""What a site lets out, and the record of what it did let out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ReceiptEvent = Literal["received", "released", "refused", "approved", "joined"]

DEFAULT_METRICS = (
    "loss",
    "accuracy",
    "sensitivity",
    "specificity",
    "precision",
    "recall",
    "f1",
    "auc",
    "ppv",
    "npv",
)


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """What may leave a site. A site may only ever be stricter than the federation's floor.

    Attributes:
        min_examples: fewest samples that an update or an evaluation may rest on.
        metrics: scalar names that may leave, beside the confusion counts.
        max_bytes: largest update, in bytes of its arrays; None for no limit but the model's own size.
        allow_messages: whether the text of the notebook's exceptions may leave (it can quote data).
    """

    min_examples: int = 10
    metrics: tuple[str, ...] = DEFAULT_METRICS
    max_bytes: int | None = None
    allow_messages: bool = False

    def tightened(self, own: ReleasePolicy) -> ReleasePolicy:
        """This floor with what a site's ``own`` policy forbids besides; nothing is ever allowed anew."""
        sizes = [size for size in (self.max_bytes, own.max_bytes) if size is not None]
        return ReleasePolicy(
            max(self.min_examples, own.min_examples),
            tuple(name for name in self.metrics if name in own.metrics),
            min(sizes, default=None),
            self.allow_messages and own.allow_messages,
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """One entry of a site's own record: what came in or left, chained to the entry before it.

    Attributes:
        sequence: 0-based position.
        at: UTC time in ISO 8601, seconds.
        event: ``received`` (a task), ``released`` (an output) or ``refused`` (with the reason);
            ``approved`` (what may run here) or ``joined`` (the federation).
        task_id, kind, round: of the task; empty and 0 where there is none.
        arrays_digest: digest of the arrays that came in or left; empty where none.
        details: plain facts (bytes, examples, metric names, reason); never a data value.
        previous: hash of the entry before; 64 zeros after ``sha256:`` for the first.
        hash: digest of the canonical JSON of all the fields above.
        signature: by the site's key over ``hash``, base64 of DER; empty where the site signs nothing.
    """

    sequence: int
    at: str
    event: ReceiptEvent
    task_id: str
    kind: str
    round: int
    arrays_digest: str
    details: Mapping[str, str | int | float]
    previous: str
    hash: str
    signature: str = ""
