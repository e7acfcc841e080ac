"""What a notebook's author learns when no versions can be settled for its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..analysis import Analysis, Place
from ..analysis.installed import normalised
from .shapes import Documented, Finding, Level, at


class LockFailure(Protocol):
    """Why there is no lock, as far as findings look at it."""

    @property
    def what(self) -> str:
        """One sentence or more."""

    @property
    def hint(self) -> str:
        """What to do next."""

    @property
    def kind(self) -> str:
        """``no wheel``, ``unknown`` or ``conflict``."""

    @property
    def distributions(self) -> tuple[str, ...]:
        """Normalised names: what is at fault first, then the requirements behind it."""


class NoWheel:
    """A distribution that cannot be installed at the sites."""

    code = "NF121"
    title = "No wheel for the sites"
    levels: tuple[Level, ...] = ("error",)
    why = (
        "Images are made of wheels only: nothing is compiled, and no site downloads anything. A distribution "
        "without a wheel for the image's platform and Python, or that no index has, cannot be put in."
    )
    example = "import docopt   # docopt 0.6.2 is published as source code only"
    remedy = (
        "Take a version that has a wheel, or make one with `pip wheel` and give its folder with --wheels."
    )


class VersionConflict:
    """Versions that cannot be installed together."""

    code = "NF122"
    title = "Versions that do not go together"
    levels: tuple[Level, ...] = ("error",)
    why = (
        "One set of versions must satisfy the notebook and what sites run beside it: Flower, cryptography, "
        "NumPy and what these need."
    )
    example = "%pip install protobuf==3.20.0   # sites run Flower, which needs protobuf 5 or 6"
    remedy = "Install a version that fits, and run the notebook with it before it is built."


LOCK_RULES: tuple[Documented, ...] = (NoWheel(), VersionConflict())
_BY_KIND: Mapping[str, Documented] = {
    "no wheel": LOCK_RULES[0],
    "unknown": LOCK_RULES[0],
    "conflict": LOCK_RULES[1],
}


def of_lock(failure: LockFailure, analysis: Analysis) -> tuple[Finding, ...]:
    """The finding that a failed lock is, at the import or pip line that asks for what is at fault."""
    rule = _BY_KIND[failure.kind]
    step = failure.hint or rule.remedy
    return (at(_place(failure, analysis), rule.code, "error", " ".join(failure.what.split()), step),)


def _place(failure: LockFailure, analysis: Analysis) -> Place | None:
    asked = {normalised(item.distribution.split("[")[0]): item.place for item in analysis.requirements}
    return next((asked[name] for name in failure.distributions if name in asked), None)
