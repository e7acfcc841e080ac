"""What may come of a fault, and how a row of the matrix is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .faults import Fault
from .moments import MOMENTS

PLACES = ("site", "server", "network", "registry")
KINDS = (
    "killed with -9",
    "restarted",
    "frozen",
    "cut off",
    "slow",
    "disk full",
    "clock off by a day",
    "certificate expired",
    "wrong CA",
    "stolen token used twice",
    "image digest changed",
    "replayed update",
    "garbage on the port",
)
SAME, QUORATE, STOPS = "same model", "quorum", "stops and says"


@dataclass(frozen=True)
class Outcome:
    """What is expected.

    Attributes:
        what: one of ``SAME``, ``QUORATE`` and ``STOPS``.
        says: who has to say what (a regular expression): ``b``, ``server``, ``run`` and ``federation``
            (their ledgers), ``thief``.
        code: exit code of the server where it stops.
    """

    what: str
    says: tuple[tuple[str, str], ...] = ()
    code: int = 0


@dataclass(frozen=True)
class Cell:
    """One experiment; ``fault`` is None where there is none to make, and ``why`` says why."""

    place: str
    kind: str
    moment: str
    fault: Callable[[], Fault] | None = None
    outcome: Outcome = Outcome(SAME)
    why: str = ""


Row = dict[str, tuple[Callable[[], Fault], Outcome] | str]
same = Outcome(SAME)


def row(fault: Callable[[], Fault], outcome: Outcome = same, **moments: object) -> Row:
    """The same at each moment, but for those named (with ``_`` for a space)."""
    made: Row = dict.fromkeys(MOMENTS, (fault, outcome))
    for name, other in moments.items():
        made[name.replace("_", " ")] = other  # type: ignore[assignment]
    return made


def never(why: str) -> Row:
    """Not applicable, at no moment."""
    return dict.fromkeys(MOMENTS, why)


def quorate(*says: tuple[str, str]) -> Outcome:
    """The others go on."""
    return Outcome(QUORATE, says)


def stops(code: int, *says: tuple[str, str]) -> Outcome:
    """The run ends with the reason."""
    return Outcome(STOPS, says, code)


def saying(*says: tuple[str, str]) -> Outcome:
    """The same model, and somebody says what was wrong."""
    return Outcome(SAME, says)
