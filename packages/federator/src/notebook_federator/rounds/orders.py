"""What the coordinator has decided by now: asked by the round loop between any two events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Orders:
    """The coordinator's standing decisions.

    Attributes:
        sites: names of the member sites, sorted; one that is missing is asked for nothing more.
        waived: site -> why its card is taken although it does not fit the data contract.
        paused: no new round begins.
        stopped: the run ends now; finished rounds are kept.
    """

    sites: tuple[str, ...]
    waived: Mapping[str, str] = field(default_factory=dict)
    paused: bool = False
    stopped: bool = False
