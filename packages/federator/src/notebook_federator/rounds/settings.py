"""What a run is asked to do, checked before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from nbfed_site.contracts import Scalar, SettingsInvalid


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """Settings of the round loop.

    Attributes:
        sites: names of the member sites, sorted.
        rounds: federated rounds.
        epochs: local epochs per round.
        quorum: fewest sites whose updates make a round.
        deadline: seconds that one round may take.
        join_deadline: seconds that sites may take to connect and describe their data.
        seed: of the whole run.
        fraction: share of the sites asked in each round, in (0, 1].
        alone: whether each site is also trained alone, for ``rounds * epochs`` epochs.
        min_examples: fewest examples that an update may rest on.
        config: further scalars sent with every training task (``proximal_mu``, ...).
        parameters: values of the notebook's parameters that the server wishes for, by name.
    """

    sites: tuple[str, ...]
    rounds: int
    epochs: int
    quorum: int
    deadline: float
    join_deadline: float
    seed: int
    fraction: float
    alone: bool
    min_examples: int
    config: Mapping[str, Scalar]
    parameters: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what can never run.

        Raises:
            SettingsInvalid: says which setting and why.
        """
        asked = self.asked_per_round
        checks = (
            (len(self.sites) > 0, "A federation needs at least one site.", "Add --site NAME=DIR."),
            (self.rounds > 0, f"{self.rounds} rounds cannot be run.", "Ask for one round or more."),
            (self.epochs > 0, f"{self.epochs} epochs cannot be trained.", "Ask for one epoch or more."),
            (
                1 <= self.quorum <= asked,
                f"A quorum of {self.quorum} can never be reached: {asked} of {len(self.sites)} sites "
                "are asked in each round.",
                "Lower the quorum (or min_train_nodes in the notebook's strategy), or add sites.",
            ),
            (self.deadline > 0 and self.join_deadline > 0, "Deadlines must be above 0 s.", ""),
        )
        for holds, what, hint in checks:
            if not holds:
                raise SettingsInvalid(what, hint=hint)

    @property
    def asked_per_round(self) -> int:
        """Number of sites asked in each round: ``fraction`` of all, rounded up, at least one."""
        return max(1, math.ceil(self.fraction * len(self.sites) - 1e-9))
