"""Where a site stands, as it says itself with every sign of life."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from .plain import rebuilt

Stage = Literal["joined", "preparing", "described", "training", "evaluating", "sending", "waiting"]


@dataclass(frozen=True, slots=True)
class SiteState:
    """What a site does now. ``epoch`` is 1-based; numbers are 0 where not known."""

    stage: Stage
    round: int = 0
    epoch: int = 0
    epochs: int = 0

    def header(self) -> str:
        """The state as one line of JSON, for an HTTP header."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_header(cls, text: str) -> SiteState | None:
        """Rebuild a state from :meth:`header`'s line; None of anything else, whoever sent it."""
        try:
            return rebuilt(cls, json.loads(text[:200]))
        except (ValueError, TypeError):
            return None
