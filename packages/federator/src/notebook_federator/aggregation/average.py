"""FedAvg and FedProx: the mean weighted by samples."""

from __future__ import annotations

from collections.abc import Mapping

from nbfed_site.contracts import Array, Arrays, Scalar

from .mean import RunningMean


class FedAvg:
    """Federated averaging: each site's model counts by its training samples.

    McMahan, Moore, Ramage, Hampson, Agüera y Arcas: Communication-Efficient Learning of Deep
    Networks from Decentralized Data. AISTATS 2017, algorithm 1.
    """

    name = "fedavg"

    def __init__(self) -> None:
        self._mean = RunningMean()

    def begin(self, current: Arrays) -> None:
        self._mean.begin(current)

    def add(self, arrays: Arrays, weight: float) -> None:
        self._mean.add(arrays, weight)

    def finish(self) -> dict[str, Array]:
        return self._mean.finish()

    def state(self) -> Arrays:
        return {}

    def restore(self, state: Arrays) -> None:
        """Nothing to take back: a round depends on its updates only."""

    def task_config(self) -> Mapping[str, Scalar]:
        return {}


class FedProx(FedAvg):
    """FedAvg whose sites add ``proximal_mu / 2 * ||w - w_global||²`` to their loss.

    Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith: Federated Optimization in Heterogeneous Networks.
    MLSys 2020, algorithm 2. With ``proximal_mu`` 0 it is FedAvg.
    """

    name = "fedprox"

    def __init__(self, proximal_mu: float) -> None:
        super().__init__()
        self._proximal_mu = proximal_mu

    def task_config(self) -> Mapping[str, Scalar]:
        return {"proximal_mu": self._proximal_mu}
