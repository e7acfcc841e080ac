"""What a run is asked to do, checked before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nbfed_site.contracts import ReleasePolicy, Scalar, SettingsInvalid

from .quorum import Quorum

Stragglers = Literal["drop", "wait", "late"]


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """Settings of the round loop.

    Attributes:
        sites: names of the sites that are members at the start, sorted.
        rounds: federated rounds.
        epochs: local epochs per round.
        quorum: fewest sites whose updates make a round.
        deadline: seconds that one round may take; None: three times what canaries say, and a minute.
        join_deadline: seconds that sites may take to connect, to describe their data, and to fit.
        seed: of the whole run.
        fraction: share of the sites asked in each round, in (0, 1].
        alone: whether each site is also trained alone, for ``rounds * epochs`` epochs.
        policy: what the server takes of an update; the floor of what every site lets out.
        config: further scalars sent with every training task (``proximal_mu``, ...).
        parameters: values of the notebook's parameters that the server wishes for, by name.
        stragglers: what becomes of sites that have not answered at the deadline: dropped; waited for;
            or their update joins the round that is under way when it comes, with less weight.
        patient: a site that fails before round 1 is waited for until ``join_deadline``, for somebody
            may mend it; else it is not, and the run ends at once where the quorum needs it.
        initial: safetensors file of the model to start from; None: the notebook's own.
        wire: precision of float32 arrays under way.
        signed: every site whose key is known must sign what it answers.
    """

    sites: tuple[str, ...]
    rounds: int
    epochs: int
    quorum: Quorum
    deadline: float | None
    join_deadline: float
    seed: int
    fraction: float
    alone: bool
    policy: ReleasePolicy
    config: Mapping[str, Scalar]
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    stragglers: Stragglers = "drop"
    patient: bool = False
    initial: Path | None = None
    wire: str = "fp32"
    signed: bool = False

    def __post_init__(self) -> None:
        """Refuse what can never run.

        Raises:
            SettingsInvalid: says which setting and why.
        """
        members = len(self.sites)
        asked, quorum = self.asked_of(members), self.quorum.of(members)
        checks = (
            (members > 0, "A federation needs at least one site.", "Add --site NAME=DIR."),
            (self.rounds > 0, f"{self.rounds} rounds cannot be run.", "Ask for one round or more."),
            (self.epochs > 0, f"{self.epochs} epochs cannot be trained.", "Ask for one epoch or more."),
            (
                1 <= quorum <= asked,
                f"A quorum of {quorum} can never be reached: {asked} of {members} sites "
                "are asked in each round.",
                "Lower the quorum (or min_train_nodes in the notebook's strategy), or add sites.",
            ),
            (
                (self.deadline is None or self.deadline > 0) and self.join_deadline > 0,
                "Deadlines must be above 0 s.",
                "Give a number of seconds.",
            ),
        )
        for holds, what, hint in checks:
            if not holds:
                raise SettingsInvalid(what, hint=hint)

    def asked_of(self, members: int) -> int:
        """Number of sites asked in a round of ``members``: ``fraction`` of them, rounded up, at least one."""
        return max(1, math.ceil(self.fraction * members - 1e-9))
