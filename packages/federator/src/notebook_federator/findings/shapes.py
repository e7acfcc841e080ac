"""What a rule is, and what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from ..analysis import Place
from .facts import Facts

Level = Literal["error", "warning", "hint"]
LEVELS: tuple[Level, ...] = ("error", "warning", "hint")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a notebook that its author should know.

    Attributes:
        code: stable, ``NF101`` and up; docs/reference/findings.md explains each.
        level: an ``error`` keeps the notebook from being federated; a ``warning`` may make it fail or
            mislead at a site; a ``hint`` only informs.
        message: what is so, in one sentence.
        cell: 1-based among all cells; 0 where the finding concerns the notebook as a whole.
        line: 1-based in the cell; 0 with ``cell`` 0.
        column, end_column: 0-based in characters, end exclusive; equal where no stretch is meant.
        next_step: what to do about it.
    """

    code: str
    level: Level
    message: str
    cell: int
    line: int
    column: int
    end_column: int
    next_step: str


class Documented(Protocol):
    """A code and the words of its documentation."""

    code: str
    title: str
    levels: tuple[Level, ...]
    why: str
    example: str
    remedy: str


class Rule(Documented, Protocol):
    """One rule: a documented code, and a check."""

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Yield what is found; never runs the notebook's code."""


def at(place: Place | None, code: str, level: Level, message: str, next_step: str) -> Finding:
    """A finding at ``place``, or about the whole notebook where it is None.

    A place over several lines is shown from its first line's column only.
    """
    if place is None:
        return Finding(code, level, message, 0, 0, 0, 0, next_step)
    one_line = place.end_line in (0, place.line)
    end = max(place.end_column, place.column) if one_line else place.column
    return Finding(code, level, message, place.cell, place.line, place.column, end, next_step)
