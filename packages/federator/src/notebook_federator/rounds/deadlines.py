"""How long a round may take, from what a few batches at every site took. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .port import Replied

_MARGIN = 3.0
_GRACE_SECONDS = 60.0


def estimate_of(reply: Replied) -> float:
    """Seconds that a whole round will take at the site that answered a ``canary``.

    They are the site's own work, and the model's way there and back: all that was not work.
    """
    seconds = dict(reply.output.seconds)
    work = seconds.pop("round", 0.0)
    return round(work + max(0.0, reply.seconds - sum(seconds.values())), 3)


def deadline_of(estimates: Mapping[str, float]) -> float:
    """Seconds that a round may take: room enough for the slowest site on a bad day."""
    return _MARGIN * max(estimates.values(), default=0.0) + _GRACE_SECONDS


def known_estimates(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, float]:
    """The last estimate of each site in a run's record, given as kinds and bodies in their order."""
    return {body["site"]: body["estimate"] for kind, body in entries if kind == "canary"}
