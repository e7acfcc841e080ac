"""FedAvgM: FedAvg with momentum at the server."""

from __future__ import annotations

from pathlib import Path

from .server_optimizer import Floats, ServerOptimizer


class FedAvgM(ServerOptimizer):
    """Server momentum: ``v = momentum * v + change; model += learning_rate * v``.

    Hsu, Qi, Brown: Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification. arXiv:1909.06335, 2019; the learning rate multiplies as in Flower and PyTorch's SGD.
    """

    name = "fedavgm"

    def __init__(self, learning_rate: float, momentum: float, folder: Path | None = None) -> None:
        super().__init__(folder)
        self._learning_rate, self._momentum = learning_rate, momentum
        self.moments = ("momentum",) if momentum else ()

    def step(self, delta: Floats, moments: list[Floats]) -> Floats:
        change = delta
        if moments:
            change = moments[0]
            change *= self._momentum
            change += delta
        return self._learning_rate * change
