"""From settings as plain numbers to a strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbfed_site.contracts import Scalar, SettingsInvalid

from .adaptive import FedAdam, FedYogi, Rates
from .average import FedAvg, FedProx
from .momentum import FedAvgM
from .port import Strategy
from .robust import Median, TrimmedMean

PARTICIPATION = (
    "fraction_train",
    "fraction_evaluate",
    "min_train_nodes",
    "min_evaluate_nodes",
    "min_available_nodes",
)


@dataclass(frozen=True, slots=True)
class Number:
    """A hyper-parameter: its default, and the range ``[low, high)`` (``(low, high)`` where ``open``)."""

    default: float
    low: float = 0.0
    high: float = math.inf
    open: bool = False

    def holds(self, value: float) -> bool:
        return (self.low < value if self.open else self.low <= value) and value < self.high

    def __str__(self) -> str:
        left = "more than" if self.open else "at least"
        above = "" if self.high == math.inf else f" and less than {self.high:g}"
        return f"{left} {self.low:g}{above}"


SETTINGS: Mapping[str, Mapping[str, Number]] = {
    "fedavg": {},
    "fedprox": {"proximal_mu": Number(0.0)},
    "fedavgm": {
        "server_learning_rate": Number(1.0, open=True),
        "server_momentum": Number(0.0, high=1.0),
    },
    "fedadam": {
        "eta": Number(0.1, open=True),
        "eta_l": Number(0.1, open=True),
        "beta_1": Number(0.9, high=1.0),
        "beta_2": Number(0.99, high=1.0),
        "tau": Number(1e-3, open=True),
    },
    "fedyogi": {
        "eta": Number(0.01, open=True),
        "eta_l": Number(0.0316, open=True),
        "beta_1": Number(0.9, high=1.0),
        "beta_2": Number(0.99, high=1.0),
        "tau": Number(1e-3, open=True),
    },
    "trimmed_mean": {"beta": Number(0.2, high=0.5)},
    "median": {},
}
"""Names and defaults of today's Flower strategies (``flwr.serverapp.strategy``)."""


def make_strategy(settings: Mapping[str, Scalar], folder: Path | None = None) -> Strategy:
    """A strategy from ``{"name": "fedadam", "eta": 0.03, ...}``; what is left out has its default.

    ``folder`` takes the temporary files of strategies that keep updates or moments on disk.
    Settings of participation (:data:`PARTICIPATION`) are left to the round loop. ``eta_l`` is the
    sites' own learning rate: it is checked, but sites train with what their notebook says.

    Raises:
        SettingsInvalid: an unknown name or setting, or a value out of its range.
    """
    name = settings.get("name")
    known = SETTINGS.get(name) if isinstance(name, str) else None
    if known is None:
        raise SettingsInvalid(
            f"There is no strategy {name!r}.", hint=f"Choose one of: {', '.join(SETTINGS)}."
        )
    extra = [key for key in settings if key != "name" and key not in known and key not in PARTICIPATION]
    if extra:
        has = f"It has: {', '.join(known)}." if known else "It has no settings."
        raise SettingsInvalid(f"Strategy {name!r} has no setting {extra[0]!r}.", hint=has)
    values = {
        key: _value(f"{name}.{key}", settings.get(key, number.default), number)
        for key, number in known.items()
    }
    return _build(str(name), values, folder)


def _value(where: str, value: Scalar, number: Number) -> float:
    if isinstance(value, bool | str) or not number.holds(value):
        raise SettingsInvalid(
            f"{where} is {value!r}, but must be a number of {number}.",
            hint=f"Its default is {number.default:g}.",
        )
    return float(value)


def _build(name: str, values: Mapping[str, float], folder: Path | None) -> Strategy:
    match name:
        case "fedprox":
            return FedProx(**values)
        case "fedavgm":
            rate, momentum = values["server_learning_rate"], values["server_momentum"]
            plain = rate == 1.0 and momentum == 0.0
            return _Plain() if plain else FedAvgM(rate, momentum, folder)
        case "fedadam" | "fedyogi":
            rates = Rates(values["eta"], values["beta_1"], values["beta_2"], values["tau"])
            return FedAdam(rates, folder) if name == "fedadam" else FedYogi(rates, folder)
        case "trimmed_mean":
            return TrimmedMean(values["beta"], folder)
        case "median":
            return Median(folder)
    return FedAvg()


class _Plain(FedAvg):
    """FedAvgM with learning rate 1 and no momentum, which is FedAvg bit for bit (as in Flower)."""

    name = "fedavgm"
