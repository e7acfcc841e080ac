"""FedAdam and FedYogi: adaptive optimizers at the server.

Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan: Adaptive Federated Optimization.
ICLR 2021 (arXiv:2003.00295), algorithm 2. As in Flower, both moments start at 0, and FedAdam's
learning rate is corrected for that (Kingma and Ba 2015, just before section 2.1) with the power
``round + 1``, round counted from 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .server_optimizer import Floats, ServerOptimizer


@dataclass(frozen=True, slots=True)
class Rates:
    """``eta`` server learning rate, ``beta_1`` and ``beta_2`` decay of the moments, ``tau`` adaptivity."""

    eta: float
    beta_1: float
    beta_2: float
    tau: float


class FedAdam(ServerOptimizer):
    """``v = beta_2 * v + (1 - beta_2) * change²``; see the module for the papers."""

    name = "fedadam"
    moments = ("m", "v")

    def __init__(self, rates: Rates, folder: Path | None = None) -> None:
        super().__init__(folder)
        self._rates = rates

    def step(self, delta: Floats, moments: list[Floats]) -> Floats:
        first, second = moments
        first *= self._rates.beta_1
        first += (1 - self._rates.beta_1) * delta
        self._adapt(second, delta * delta)
        return self._eta() * first / (np.sqrt(second) + self._rates.tau)

    def _adapt(self, second: Floats, square: Floats) -> None:
        second *= self._rates.beta_2
        second += (1 - self._rates.beta_2) * square

    def _eta(self) -> float:
        power = self._rounds + 2
        return self._rates.eta * math.sqrt(1 - self._rates.beta_2**power) / (1 - self._rates.beta_1**power)


class FedYogi(FedAdam):
    """``v -= (1 - beta_2) * change² * sign(v - change²)``; see the module for the papers."""

    name = "fedyogi"

    def _adapt(self, second: Floats, square: Floats) -> None:
        second -= (1 - self._rates.beta_2) * square * np.sign(second - square)

    def _eta(self) -> float:
        return self._rates.eta
