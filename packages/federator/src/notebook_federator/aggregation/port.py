"""The port that every aggregation strategy fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from nbfed_site.contracts import Array, Arrays, Scalar


class Strategy(Protocol):
    """Turns the updates of one round into the next global model, one update at a time.

    The round loop adds updates in the order of site names, so that results do not depend on who
    was first. ``arrays`` may read each array from disk on access: access each name once.
    """

    name: str

    def begin(self, current: Arrays) -> None:
        """Start a round from the ``current`` global model (may be read lazily, as above).

        Server optimizers keep ``current`` until :meth:`finish` and read each array once more there.
        """

    def add(self, arrays: Arrays, weight: float) -> None:
        """Take one site's update into account and keep no reference to it.

        ``weight`` is the number of samples that it rests on, or a part of it where it comes late.
        """

    def finish(self) -> dict[str, Array]:
        """End the round and return the new global model, in dtypes and shapes of the old."""

    def state(self) -> Arrays:
        """What must be checkpointed between rounds (moments and the like); may be empty.

        Arrays may be read lazily: store them before the next round is finished.
        """

    def restore(self, state: Arrays) -> None:
        """Take back what :meth:`state` gave."""

    def task_config(self) -> Mapping[str, Scalar]:
        """Settings that sites need, such as ``proximal_mu``."""
