"""How long a round may take, from what a few batches at every site took. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .port import Replied

_MARGIN = 3.0
_GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of a whole round at one site: its own work, and the model's way there and back."""

    work: float
    transfer: float

    @property
    def seconds(self) -> float:
        """Both together."""
        return round(self.work + self.transfer, 3)


def estimate_of(reply: Replied) -> Estimate:
    """What the answer to a ``canary`` says; all that was not the site's own work is taken for transfer."""
    seconds = dict(reply.output.seconds)
    work = seconds.pop("round", 0.0)
    return Estimate(work, max(0.0, reply.seconds - sum(seconds.values())))


def deadline_of(estimates: Mapping[str, Estimate]) -> float:
    """Seconds that a round may take: room enough for the slowest site on a bad day."""
    return _MARGIN * max((item.seconds for item in estimates.values()), default=0.0) + _GRACE_SECONDS
