"""Which samples of a notebook's own data belong to which simulated site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..contracts import SettingsInvalid, SiteDataFailed, derive_seed


@dataclass(frozen=True, slots=True)
class Partition:
    """Share ``index`` (0-based) of ``count`` disjoint shares that together hold every sample.

    ``iid`` deals each class evenly; ``dirichlet`` draws each class's shares from a symmetric
    Dirichlet distribution with ``alpha`` (Hsu et al. 2019, arXiv:1909.06335), the same for all splits.
    """

    index: int
    count: int
    scheme: Literal["iid", "dirichlet"] = "iid"
    alpha: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count or self.scheme not in ("iid", "dirichlet") or self.alpha <= 0:
            raise SettingsInvalid(f"A share {self.index} of {self.count} ({self.scheme}) cannot be made.")

    def positions(self, size: int, labels: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """Ascending positions of this share among ``size`` samples with class ``labels``.

        Raises:
            SiteDataFailed: ``dirichlet`` without labels.
        """
        if labels is None and self.scheme == "dirichlet":
            hint = "Use equal shares (iid), or let the data set have `targets` or yield integer labels."
            raise SiteDataFailed("The data cannot be shared by class: its classes are not known.", hint=hint)
        labels = np.zeros(size, np.int64) if labels is None else labels
        order = np.random.default_rng(derive_seed(self.seed, "partition"))
        draws = np.random.default_rng(derive_seed(self.seed, "proportions"))
        owner = np.empty(size, np.int64)
        dealt = 0
        for label in np.unique(labels):
            members = order.permutation(np.flatnonzero(labels == label))
            if self.scheme == "iid":
                owner[members] = (dealt + np.arange(members.size)) % self.count
                dealt += members.size
            else:
                bounds = np.cumsum(draws.dirichlet(np.full(self.count, self.alpha)))[:-1] * members.size
                owner[members] = np.searchsorted(bounds, np.arange(members.size), side="right")
        return np.flatnonzero(owner == self.index)
