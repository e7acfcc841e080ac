"""The paper's Table 2: every model on the shared test set and on each site's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from nbfed_site.contracts import Evaluation

from .data import RunRecord
from .scores import (
    SCORES,
    Confusion,
    Score,
    all_labels,
    binary_scores,
    declared_scores,
    pooled,
    positive_label,
    scores_of,
)

Model = Literal["alone", "federation", "federation best"]
TITLES: Mapping[str, str] = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "accuracy": "Accuracy",
}
HEADINGS = ("Test set", "Model", "Samples", *(TITLES[name] for name in SCORES))


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one test set.

    Attributes:
        test_set: the site whose test set it is; None for the shared one (all sites' together).
        alone: the site that trained the model alone; None for the federation's.
        round: rounds of training that the model has had.
        num_examples: samples evaluated.
        scores: by name, in the order of :data:`SCORES`; macro averages where there is no positive class.
        confusion: counts, or None where they could not be observed.
        classes: scores of each class against the rest, where there is no positive class.
        missing: sites whose test sets the shared one lacks; such a row must not be compared.
    """

    test_set: str | None
    model: Model
    alone: str | None
    round: int
    num_examples: int
    scores: Mapping[str, Score]
    confusion: Confusion | None = None
    classes: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the model is called in tables."""
        if self.alone is not None:
            return f"{self.alone} alone"
        return "Federation" if self.model == "federation" else f"Federation, best (round {self.round})"

    @property
    def short(self) -> str:
        """A name for narrow places."""
        return self.alone or ("Federation" if self.model == "federation" else f"Best (round {self.round})")

    def cells(self) -> tuple[str, ...]:
        """Plain text under :data:`HEADINGS`, for terminals and Markdown."""
        test_set = "shared" if self.test_set is None else self.test_set
        return (test_set, self.title, f"{self.num_examples:,}", *map(cell, self.scores.values()))


def cell(score: Score, interval: str = "") -> str:
    """``0.912 (0.880-0.941)``, or ``n/a``; ``interval`` is said before the interval."""
    if score.value is None:
        return "n/a"
    if score.low is None or score.high is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} ({interval}{score.low:.3f}–{score.high:.3f})"


@dataclass(frozen=True, slots=True)
class Results:
    """All evaluations of a record that its tables show, looked up by model, round and test set."""

    record: RunRecord
    labels: tuple[str, ...]
    positive: str | None
    found: Mapping[tuple[str | None, int, str], Evaluation]

    def rounds(self, alone: str | None) -> list[int]:
        return sorted({number for owner, number, _ in self.found if owner == alone})

    def sites(self) -> list[str]:
        """Sites whose test sets the federation's last model was evaluated on, in the record's order."""
        rounds = self.rounds(None)
        known = [site.name for site in self.record.sites]
        return [name for name in known if rounds and (None, rounds[-1], name) in self.found]

    def models(self) -> Iterator[tuple[Model, str | None, int]]:
        """Each institution alone, then the federation's last and (if another one) best model."""
        for site in self.record.sites:
            rounds = self.rounds(site.name)
            if rounds:
                yield "alone", site.name, rounds[-1]
        rounds = self.rounds(None)
        if rounds:
            yield "federation", None, rounds[-1]
            best = self.record.best_round
            if best is not None and best in rounds[:-1]:
                yield "federation best", None, best

    def row(self, model: Model, alone: str | None, number: int, test_set: str | None) -> Row | None:
        """One row; None if the model was not evaluated there at all."""
        wanted = self.sites() if test_set is None else [test_set]
        found = {
            name: self.found[alone, number, name] for name in wanted if (alone, number, name) in self.found
        }
        if not found:
            return None
        evaluations = list(found.values())
        confusion = pooled(evaluations, self.labels)
        scores = declared_scores(evaluations) if confusion is None else scores_of(confusion, self.positive)
        several = confusion is not None and self.positive is None
        classes = (
            {label: binary_scores(confusion, label) for label in self.labels} if several and confusion else {}
        )
        return Row(
            test_set=test_set,
            model=model,
            alone=alone,
            round=number,
            num_examples=sum(item.num_examples for item in evaluations),
            scores=scores,
            confusion=confusion,
            classes=classes,
            missing=tuple(name for name in wanted if name not in found),
        )


def results_of(record: RunRecord) -> Results:
    """Index the evaluations of ``record``.

    Raises:
        SettingsInvalid: the record names a positive class that no evaluation knows.
    """
    labels = all_labels(item.evaluation for item in record.evaluations)
    found = {(item.alone, item.round, item.site): item.evaluation for item in record.evaluations}
    return Results(record, labels, positive_label(labels, record.positive), found)


def rows_on(results: Results, test_set: str | None) -> list[Row]:
    """The rows of one table: every model on one test set."""
    rows = (results.row(*model, test_set) for model in results.models())
    return [row for row in rows if row is not None]


def table(record: RunRecord) -> list[Row]:
    """Table 2: each institution alone and the federation; first the shared test set, then each site's own.

    Raises:
        SettingsInvalid: the record names a positive class that no evaluation knows.
    """
    results = results_of(record)
    return [row for test_set in (None, *results.sites()) for row in rows_on(results, test_set)]


@dataclass(frozen=True, slots=True)
class Difference:
    """Federation minus one institution alone on one test set.

    ``values`` holds None where a score is undefined for either; ``apart`` names the scores whose two
    95 % intervals do not overlap.
    """

    site: str
    test_set: str | None
    values: Mapping[str, float | None]
    apart: tuple[str, ...]


def difference(federation: Row, alone: Row) -> Difference:
    """Compare two rows of one test set."""
    values, apart = {}, []
    for name in SCORES:
        ours, theirs = federation.scores[name], alone.scores[name]
        both = ours.value is not None and theirs.value is not None
        values[name] = ours.value - theirs.value if both else None  # type: ignore[operator]
        if disjoint(ours, theirs):
            apart.append(name)
    return Difference(alone.alone or "", federation.test_set, values, tuple(apart))


def disjoint(one: Score, other: Score) -> bool:
    """Whether both have an interval and these do not overlap."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low > other.high or other.low > one.high


def differences(rows: list[Row], test_set: str | None) -> list[Difference]:
    """Federation minus each institution alone, among comparable rows of one test set."""
    here = [row for row in rows if row.test_set == test_set and not row.missing]
    federation = [row for row in here if row.model == "federation"]
    return [difference(federation[0], row) for row in here if row.model == "alone"] if federation else []
