"""Giving whole groups (patients) to bins so that each class comes close to its asked share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from nbfed_site.contracts import derive_seed

Bin = TypeVar("Bin", bound=Hashable)


def assign_groups(
    groups: Mapping[str, Mapping[str, int]],
    shares: Mapping[Bin, Mapping[str, float]],
    seed: int,
) -> dict[str, Bin]:
    """Put each group into exactly one bin.

    ``groups`` maps a group to its samples per class; ``shares`` maps a bin to the fraction of each
    class that it should get (over the bins, the fractions of a class sum to 1). Groups go from
    large to small, each to the bin where it adds least to the squared error, counted in fractions
    of the class totals. Among groups of about the same size (within a factor of 1.4), ``seed``
    decides who is first; another seed gives another, equally close assignment. No bin stays empty
    unless there are fewer groups than bins.

    Quality: with one class, no bin exceeds its share by more than the largest group. With several
    classes there is no such bound, because a group brings its classes together; the error left is
    about the size of the smallest groups, so many patients come out close and a few large ones
    may not.
    """
    totals = Counter[str]()
    for counts in groups.values():
        totals.update(counts)
    fractions = {
        group: tuple(
            counts.get(label, 0) / total if total else 0.0 for label, total in sorted(totals.items())
        )
        for group, counts in groups.items()
    }
    order = sorted(
        groups, key=lambda group: (-_size_class(fractions[group]), derive_seed(seed, group), group)
    )
    errors = {name: [-share.get(label, 0.0) for label in sorted(totals)] for name, share in shares.items()}
    chosen: dict[str, Bin] = {}
    empty = dict.fromkeys(errors)
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        best = min(
            empty if left <= len(empty) else errors, key=lambda name: _growth(errors[name], fractions[group])
        )
        empty.pop(best, None)
        chosen[group] = best
        errors[best] = [error + part for error, part in zip(errors[best], fractions[group], strict=True)]
    return chosen


def _size_class(fractions: Sequence[float]) -> int:
    """Binary exponent of the squared size."""
    return math.frexp(_growth(fractions, fractions))[1]


def _growth(errors: Sequence[float], fractions: Sequence[float]) -> float:
    """By how much the squared error of a bin grows with a group, less what is equal for all bins."""
    return sum(error * part for error, part in zip(errors, fractions, strict=True))
