"""From confusion counts to the six clinical scores, with 95 % intervals; undefined stays undefined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nbfed_site.contracts import Evaluation, SettingsInvalid

Z_95 = 1.959963984540054
SCORES = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy")
Counts = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Score:
    """One score; every part is None where it is undefined (0/0).

    Attributes:
        value: between 0 and 1.
        low, high: ends of the 95 % interval.
        count, total: numerator and denominator of a proportion, in samples.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    count: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Confusion:
    """K×K counts ``counts[true][predicted]`` with their class labels."""

    labels: tuple[str, ...]
    counts: Counts

    @property
    def total(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def correct(self) -> int:
        return sum(self.counts[index][index] for index in range(len(self.labels)))

    def support(self) -> dict[str, int]:
        """Samples of each true class."""
        return {label: sum(row) for label, row in zip(self.labels, self.counts, strict=True)}

    def binary(self, label: str) -> tuple[int, int, int, int]:
        """True positives, false positives, false negatives, true negatives of ``label`` against the rest."""
        index = self.labels.index(label)
        hit = self.counts[index][index]
        predicted = sum(row[index] for row in self.counts)
        actual = sum(self.counts[index])
        return hit, predicted - hit, actual - hit, self.total - predicted - actual + hit


def wilson(count: float, total: float) -> tuple[float, float]:
    """The 95 % score interval of a proportion (``total`` > 0).

    Wilson: Probable inference, the law of succession, and statistical inference. Journal of the
    American Statistical Association 22 (1927), 209-212.
    """
    share, square = count / total, Z_95**2
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = Z_95 * math.sqrt(share * (1 - share) / total + square / (4 * total**2)) / (1 + square / total)
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == total else min(1.0, centre + half)
    return low, high


def proportion(count: int, total: int) -> Score:
    """``count`` of ``total`` with its Wilson interval; undefined for a total of 0."""
    if total == 0:
        return Score(count=count, total=total)
    low, high = wilson(count, total)
    return Score(count / total, low, high, count, total)


def f1_score(hit: int, false_positive: int, false_negative: int) -> Score:
    """F1 with the indirect Wilson interval; undefined where there is neither a positive nor an alarm.

    F1 = 2J / (1 + J) with J = TP / (TP + FP + FN), which is a proportion: its Wilson interval is
    carried over. Lam, Gopal, Qian: Confidence Intervals for the F1 Score: A Comparison of Four
    Methods. arXiv:2309.14621 (2023).
    """
    total = hit + false_positive + false_negative
    if total == 0:
        return Score()
    value, low, high = (2 * part / (1 + part) for part in (hit / total, *wilson(hit, total)))
    return Score(value, low, high)


def binary_scores(confusion: Confusion, positive: str) -> dict[str, Score]:
    """The six scores of ``positive`` against the rest, in the order of :data:`SCORES`.

    Accuracy is that of the whole matrix.
    """
    hit, false_positive, false_negative, rejected = confusion.binary(positive)
    return {
        "sensitivity": proportion(hit, hit + false_negative),
        "specificity": proportion(rejected, rejected + false_positive),
        "ppv": proportion(hit, hit + false_positive),
        "npv": proportion(rejected, rejected + false_negative),
        "f1": f1_score(hit, false_positive, false_negative),
        "accuracy": proportion(confusion.correct, confusion.total),
    }


def macro_scores(confusion: Confusion) -> dict[str, Score]:
    """Means over the classes, each against the rest; undefined if any class's score is.

    No interval is given but for accuracy: the classes' scores rest on the same samples.
    """
    classes = [binary_scores(confusion, label) for label in confusion.labels]
    result = {}
    for name in SCORES[:-1]:
        values = [scores[name].value for scores in classes]
        known = [value for value in values if value is not None]
        result[name] = (
            Score(math.fsum(known) / len(known)) if values and len(known) == len(values) else Score()
        )
    return result | {"accuracy": proportion(confusion.correct, confusion.total)}


def scores_of(confusion: Confusion, positive: str | None) -> dict[str, Score]:
    """Binary scores for a positive label, macro scores for None."""
    return macro_scores(confusion) if positive is None else binary_scores(confusion, positive)


def positive_label(labels: Sequence[str], declared: str | None) -> str | None:
    """The positive class of two labels (``declared``, else ``1``, else the second); None for others.

    Raises:
        SettingsInvalid: ``declared`` is not one of the labels.
    """
    if declared is not None and labels and declared not in labels:
        raise SettingsInvalid(
            f"The positive class {declared!r} is not one of the classes: {', '.join(labels)}.",
            hint="Name one of the classes as the positive one.",
        )
    if declared is not None:
        return declared
    if len(labels) != 2:
        return None
    return "1" if "1" in labels else labels[1]


def pooled(evaluations: Iterable[Evaluation], labels: Sequence[str]) -> Confusion | None:
    """Sum of the confusion counts, class by class; None if any of them (or all) is missing.

    The sum of counts is exactly the count over all test sets together, so no sample has to move.
    """
    sums: dict[tuple[str, str], int] = {}
    seen = False
    for evaluation in evaluations:
        if evaluation.confusion is None:
            return None
        seen = True
        for true, row in zip(evaluation.labels, evaluation.confusion, strict=True):
            for predicted, count in zip(evaluation.labels, row, strict=True):
                sums[true, predicted] = sums.get((true, predicted), 0) + count
    if not seen:
        return None
    return Confusion(tuple(labels), tuple(tuple(sums.get((t, p), 0) for p in labels) for t in labels))


def all_labels(evaluations: Iterable[Evaluation]) -> tuple[str, ...]:
    """Every class label: in numeric order where all are numbers, else as first met."""
    labels = list(dict.fromkeys(label for item in evaluations for label in item.labels))
    try:
        return tuple(sorted(labels, key=float))
    except ValueError:
        return tuple(labels)


def weighted_metric(evaluations: Sequence[Evaluation], name: str) -> float | None:
    """Mean of a declared scalar weighted by samples; None if an evaluation lacks it or has no samples."""
    total = sum(item.num_examples for item in evaluations)
    if total == 0 or any(name not in item.metrics for item in evaluations):
        return None
    return math.fsum(item.metrics[name] * item.num_examples for item in evaluations) / total


def declared_scores(evaluations: Sequence[Evaluation]) -> dict[str, Score]:
    """What can be said without confusion counts: the accuracy that ``test`` returned, and no more."""
    accuracy = weighted_metric(evaluations, "accuracy")
    scores: Mapping[str, Score] = dict.fromkeys(SCORES, Score())
    if accuracy is None or not 0 <= accuracy <= 1:
        return dict(scores)
    total = sum(item.num_examples for item in evaluations)
    low, high = wilson(accuracy * total, total)
    return {**scores, "accuracy": Score(accuracy, low, high)}
