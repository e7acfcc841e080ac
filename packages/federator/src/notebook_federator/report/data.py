"""What a report is made from: one frozen record of a run, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nbfed_site.contracts import (
    Evaluation,
    RunUnreadable,
    Scalar,
    SiteCard,
    plain,
    rebuilt,
)

SCHEMA_VERSION = 1

State = Literal["completed", "stopped", "failed"]
Presence = Literal[
    "took part", "late", "lost", "failed", "refused", "absent", "not chosen", "removed", "no member"
]


@dataclass(frozen=True, slots=True)
class Settings:
    """What was declared before round 1.

    Attributes:
        strategy: the translated aggregation block, ``{"name": "fedavg", ...}``.
        rounds: rounds planned; epochs: local epochs per round.
        quorum: fewest sites that a round needs, ``2`` or ``60%``.
        deadline: seconds that a round may last; None where it was derived from canary rounds.
        stragglers: what became of sites that had not answered at the deadline.
        seed: of the run; wire: ``fp32`` or ``bf16``.
        best_by: how the best round was chosen, one sentence fragment, such as ``highest pooled accuracy``.
    """

    strategy: Mapping[str, Scalar]
    rounds: int
    epochs: int
    quorum: str
    seed: int
    deadline: float | None = None
    stragglers: str = "drop"
    wire: str = "fp32"
    best_by: str = ""


@dataclass(frozen=True, slots=True)
class Receipts:
    """Summary of one site's own receipts: how often something came in, left or was held back.

    Attributes:
        received, released, refused: entries of each kind.
        bytes_in, bytes_out: bytes of arrays that came in and left.
        metrics: names of the scalars that left.
        head: hash of the last entry of the site's chain.
    """

    received: int = 0
    released: int = 0
    refused: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    metrics: tuple[str, ...] = ()
    head: str = ""


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """One institution.

    Attributes:
        card: None if it never described itself.
        receipts: None where its own record is elsewhere.
        waived: why the coordinator took its data although it misses the data contract; empty where not.
    """

    name: str
    card: SiteCard | None = None
    receipts: Receipts | None = None
    waived: str = ""


@dataclass(frozen=True, slots=True)
class Participation:
    """What one site did in one round.

    Attributes:
        presence: ``took part`` (its update is in the new model), or why not; ``reason`` says more.
        num_examples: training samples of its update of this round, which are its weight.
        late_weight: weight of an update of an earlier round that joined this one; 0 where none did.
        metrics: training scalars.
        seconds: by activity at the site (``prepare``, ``train``, ``evaluate``).
        elapsed: seconds from sending the task to the whole reply, or None.
        bytes_down, bytes_up: bytes on the wire.
    """

    site: str
    presence: Presence
    reason: str = ""
    num_examples: int = 0
    late_weight: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    elapsed: float | None = None
    bytes_down: int = 0
    bytes_up: int = 0


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round (from 1): its wall-clock seconds, and every site of the federation in it."""

    round: int
    seconds: float
    sites: tuple[Participation, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """What one model did on one site's own test set.

    Attributes:
        alone: the site that trained the model alone; None for the federation's model.
        round: rounds of training that the model has had; 0 for the initial model.
        site: whose test set.
    """

    alone: str | None
    round: int
    site: str
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything that a report shows. Times are UTC in ISO 8601.

    Attributes:
        digests: by what they are of: ``notebook``, ``slice``, ``model`` (last), ``best model``, ``ledger``…
        versions: by package: ``notebook-federator``, ``flwr``, ``torch``, ``python``…
        command: the command line that repeats the run.
        best_round: the federation's best round; None if not chosen.
        positive: the positive class label; None for ``1`` where there is one, else the second label.
        alone_epochs: epochs that each institution alone was trained for; None if none was.
        warnings: plain sentences about the run.
    """

    run: str
    notebook: str
    state: State
    started: str
    finished: str
    settings: Settings
    sites: tuple[SiteRecord, ...]
    rounds: tuple[RoundRecord, ...]
    evaluations: tuple[ModelEvaluation, ...]
    digests: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    best_round: int | None = None
    positive: str | None = None
    alone_epochs: int | None = None
    warnings: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        value: dict[str, Any] = plain(self)
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunRecord:
        """Rebuild a record from :meth:`to_json`'s value.

        Raises:
            RunUnreadable: not such a record, or one of another schema version.
        """
        if value.get("schema_version") != SCHEMA_VERSION:
            raise RunUnreadable(
                f"The run record has schema version {value.get('schema_version')!r}, not {SCHEMA_VERSION}.",
                hint="Make the report with the version of Notebook Federator that made the run.",
            )
        try:
            return rebuilt(cls, value)
        except (TypeError, ValueError) as error:
            raise RunUnreadable(f"The run record is not complete: {error}.") from error
