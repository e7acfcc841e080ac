"""Where a site stands, as it says itself with every sign of life."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Stage = Literal["joined", "preparing", "described", "training", "evaluating", "sending", "waiting"]
_STAGES = frozenset(get_args(Stage))
_MOST = 1 << 20


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
            value = json.loads(text[:200])
        except ValueError:
            return None
        if not isinstance(value, Mapping) or value.keys() != {"stage", "round", "epoch", "epochs"}:
            return None
        numbers: list[Any] = [value["round"], value["epoch"], value["epochs"]]
        sound = all(type(number) is int and 0 <= number <= _MOST for number in numbers)
        return cls(value["stage"], *numbers) if sound and value["stage"] in _STAGES else None
