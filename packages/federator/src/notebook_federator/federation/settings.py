"""What a run is asked for, and the settings that define it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from nbfed_site.contracts import (
    DEFAULT_METRICS,
    ReleasePolicy,
    RunUnreadable,
    Scalar,
)

from ..rounds.quorum import Quorum
from ..rounds.settings import RoundSettings, Stragglers

Wire = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the author asked for; None means: as the notebook says, else the default.

    Attributes:
        sites: name -> data folder; or a number, to share the notebook's own data out; or names alone,
            of sites elsewhere.
        quorum: a number of sites (``"2"``) or a share of them (``"60%"``).
        deadline: seconds that a round may take; None: derived from a canary round.
        stragglers: ``drop``, ``wait`` or ``late``.
        initial: safetensors file of the model to start from; None: the notebook's own.
        strategy: ``name`` or ``name:setting=value,...``.
        min_examples, metrics, max_bytes, allow_messages: the floor of what every site lets out.
        partition: ``iid`` or ``dirichlet:ALPHA``, for a number of sites.
    """

    sites: Mapping[str, Path] | Sequence[str] | int
    rounds: int | None = None
    epochs: int | None = None
    quorum: str | None = None
    deadline: float | None = 1800.0
    join_deadline: float = 300.0
    stragglers: Stragglers = "drop"
    initial: Path | None = None
    strategy: str | None = None
    seed: int = 0
    wire: Wire = "fp32"
    alone: bool = False
    min_examples: int = 10
    metrics: tuple[str, ...] = DEFAULT_METRICS
    max_bytes: int | None = None
    allow_messages: bool = True
    partition: str = "iid"
    port: int = 0
    parameters: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """One site: its name and data folder; no folder where that is not known here."""

    name: str
    data: str | None


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything that defines a run; written to ``run.json`` and never changed after."""

    members: tuple[Member, ...]
    rounds: int
    epochs: int
    quorum: str
    deadline: float | None
    join_deadline: float
    stragglers: Stragglers
    initial: str | None
    strategy: Mapping[str, Scalar]
    seed: int
    wire: Wire
    alone: bool
    min_examples: int
    metrics: tuple[str, ...]
    max_bytes: int | None
    allow_messages: bool
    partition: str | None
    port: int
    parameters: Mapping[str, Scalar]
    threads: int
    heartbeat: float = 5.0

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunSettings:
        """Rebuild settings from :meth:`to_json`'s value.

        Raises:
            RunUnreadable: not such settings.
        """
        try:
            members = tuple(Member(**item) for item in value["members"])
            return cls(**{**value, "members": members, "metrics": tuple(value["metrics"])})
        except (KeyError, TypeError) as error:
            raise RunUnreadable(f"The run's settings cannot be read: {error}.", where="run.json") from error

    @property
    def policy(self) -> ReleasePolicy:
        """The floor of what every site lets out; the server takes nothing else."""
        return ReleasePolicy(self.min_examples, self.metrics, self.max_bytes, self.allow_messages)

    @property
    def _are_elsewhere(self) -> bool:
        """Whether the sites are other people's, who may mend what is amiss there."""
        return self.partition is None and all(member.data is None for member in self.members)

    def for_rounds(self, task_config: Mapping[str, Scalar], wishes: Sequence[str] = ()) -> RoundSettings:
        """The part that the round loop works by; ``wishes`` names parameters that tasks carry to sites."""
        return RoundSettings(
            sites=tuple(sorted(member.name for member in self.members)),
            rounds=self.rounds,
            epochs=self.epochs,
            quorum=Quorum(self.quorum),
            deadline=self.deadline,
            join_deadline=self.join_deadline,
            seed=self.seed,
            fraction=float(self.strategy.get("fraction_train", 1.0)),
            alone=self.alone,
            policy=self.policy,
            config=task_config,
            parameters={name: value for name, value in self.parameters.items() if name in wishes},
            stragglers=self.stragglers,
            patient=self._are_elsewhere,
            initial=Path(self.initial) if self.initial else None,
            wire=self.wire,
            signed=True,
        )
