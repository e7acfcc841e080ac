"""What can go wrong while versions are settled."""

from __future__ import annotations

from typing import Literal

from nbfed_site.contracts import BadInput, CannotConnect

Trouble = Literal["no wheel", "unknown", "conflict"]


class LockMismatch(BadInput):
    """The lock does not belong to this notebook, slice or target, or is not a lock."""

    code = "NE411"


class LockUnsolvable(BadInput):
    """No set of wheels satisfies every requirement: a conflict, or a distribution without a wheel.

    Attributes:
        kind: ``no wheel`` (it exists, but not as a wheel for the target), ``unknown`` (no such distribution
            or version), or ``conflict``.
        distributions: normalised names (PEP 503): what is at fault first, then the requirements behind it.
    """

    code = "NE415"

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        hint: str = "",
        kind: Trouble = "conflict",
        distributions: tuple[str, ...] = (),
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.kind = kind
        self.distributions = distributions


class IndexUnreachable(CannotConnect):
    """A package index does not answer, or refuses the caller."""

    code = "NE218"


def source_only(name: str, what: str) -> LockUnsolvable:
    """The error for a distribution that is asked for as source code."""
    hint = (
        "Make a wheel of it with `pip wheel --no-deps`, give its folder with --wheels, and ask for "
        f"{name} by name."
    )
    return LockUnsolvable(what, hint=hint, kind="no wheel", distributions=(name,))
