"""How many sites make a round."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nbfed_site.contracts import SettingsInvalid


@dataclass(frozen=True, slots=True)
class Quorum:
    """A number of sites (``2``), or a share of the members (``60%``) that follows them as they come and go.

    Raises:
        SettingsInvalid: ``text`` is neither.
    """

    text: str

    def __post_init__(self) -> None:
        try:
            sound = 0 < float(self.text[:-1]) <= 100 if self.is_share else int(self.text) is not None
        except ValueError:
            sound = False
        if not sound:
            hint = "Write a number of sites (2) or a share (60%)."
            raise SettingsInvalid(f"{self.text!r} is not a quorum.", hint=hint)

    @property
    def is_share(self) -> bool:
        """Whether the quorum is a share of the members."""
        return self.text.endswith("%")

    def of(self, members: int) -> int:
        """The fewest sites that make a round of ``members``; a share is rounded up, to one at least."""
        if self.is_share:
            return max(1, math.ceil(float(self.text[:-1]) / 100 * members - 1e-9))
        return int(self.text)

    def __str__(self) -> str:
        return self.text
