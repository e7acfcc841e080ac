"""Scores and loss of the federation's model after each round, per site and over all test sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nbfed_site.contracts import Evaluation

from .scores import declared_scores, pooled, scores_of, weighted_metric
from .tables import TITLES, Results

CURVES = ("loss", "accuracy", "f1", "sensitivity", "specificity")


@dataclass(frozen=True, slots=True)
class Line:
    """Values by round; ``site`` is None for all test sets together. Undefined rounds are absent."""

    site: str | None
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """One panel: a quantity, and its lines (sites in the record's order, then the shared one)."""

    name: str
    title: str
    lines: tuple[Line, ...]


def curves(results: Results) -> list[Curve]:
    """Every quantity of :data:`CURVES` that at least one evaluation has."""
    found = []
    for name in CURVES:
        lines = [_line(results, name, site) for site in (*results.sites(), None)]
        if any(line.points for line in lines):
            found.append(Curve(name, TITLES.get(name, "Loss"), tuple(lines)))
    return found


def _line(results: Results, name: str, site: str | None) -> Line:
    sites = results.sites() if site is None else [site]
    points = []
    for number in results.rounds(None):
        here = [results.found.get((None, number, one)) for one in sites]
        known = [item for item in here if item is not None]
        value = _value(results, name, known) if known and len(known) == len(here) else None
        if value is not None and math.isfinite(value):
            points.append((number, value))
    return Line(site, tuple(points))


def _value(results: Results, name: str, evaluations: Sequence[Evaluation]) -> float | None:
    if name == "loss":
        return weighted_metric(evaluations, "loss")
    confusion = pooled(evaluations, results.labels)
    scores = declared_scores(evaluations) if confusion is None else scores_of(confusion, results.positive)
    return scores[name].value
