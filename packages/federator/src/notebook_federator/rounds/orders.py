"""What the coordinator has decided by now: asked by the round loop between any two events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class StopAsked(Exception):
    """The run was asked to end; what is finished is kept."""


@dataclass(frozen=True, slots=True)
class Orders:
    """The coordinator's standing decisions.

    Attributes:
        sites: names of the member sites, sorted; one that is missing is asked for nothing more.
        waived: site -> why its card is taken although it does not fit the data contract.
        paused: no new round begins.
        stopped: the run ends now; finished rounds are kept.
        keys: site -> public key (PEM) that its receipts are signed with, where it is known.
        head: number of entries in the ledger that these decisions are in, and hash of the last, as
            ``12:sha256:...``; sites are told it with every task and keep it. Empty where there is none.
    """

    sites: tuple[str, ...]
    waived: Mapping[str, str] = field(default_factory=dict)
    paused: bool = False
    stopped: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)
    head: str = ""
