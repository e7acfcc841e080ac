"""What can go wrong while versions are settled."""

from __future__ import annotations

from nbfed_site.contracts import BadInput


class LockMismatch(BadInput):
    """The lock does not belong to this notebook, slice or target, or is not a lock."""

    code = "NE411"


class LockUnsolvable(BadInput):
    """No set of wheels satisfies every requirement: a conflict, or a distribution without a wheel."""

    code = "NE415"
