"""From names and numbers to strategies."""

import subprocess
import sys

import pytest
from nbfed_site.contracts import SettingsInvalid
from notebook_federator.aggregation import PARTICIPATION, SETTINGS, make_strategy


@pytest.mark.parametrize("name", SETTINGS)
def test_every_strategy_has_its_name_and_takes_participation_settings(name: str) -> None:
    strategy = make_strategy({"name": name, **dict.fromkeys(PARTICIPATION, 1)})
    assert strategy.name == name
    assert strategy.task_config() == ({"proximal_mu": 0.0} if name == "fedprox" else {})


def test_fedprox_tells_sites_its_proximal_weight() -> None:
    assert make_strategy({"name": "fedprox", "proximal_mu": 0.1}).task_config() == {"proximal_mu": 0.1}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"name": "fedsgd"},
        {"name": 3},
        {"name": "fedavg", "proximal_mu": 0.1},
        {"name": "fedprox", "proximal_mu": -0.1},
        {"name": "fedprox", "proximal_mu": float("nan")},
        {"name": "fedprox", "proximal_mu": float("inf")},
        {"name": "fedprox", "proximal_mu": "0.1"},
        {"name": "fedadam", "eta": 0},
        {"name": "fedadam", "beta_1": 1.0},
        {"name": "fedadam", "tau": 0.0},
        {"name": "fedyogi", "beta_2": True},
        {"name": "fedavgm", "server_momentum": 1},
        {"name": "trimmed_mean", "beta": 0.5},
        {"name": "trimmed_mean", "beta": -0.01},
    ],
)
def test_settings_without_meaning_are_refused(settings: dict) -> None:
    with pytest.raises(SettingsInvalid) as refusal:
        make_strategy(settings)
    assert refusal.value.hint


def test_defaults_are_those_of_flower() -> None:
    import inspect

    from flwr.serverapp import strategy as flower

    classes = {
        "fedavg": flower.FedAvg,
        "fedprox": flower.FedProx,
        "fedavgm": flower.FedAvgM,
        "fedadam": flower.FedAdam,
        "fedyogi": flower.FedYogi,
        "trimmed_mean": flower.FedTrimmedAvg,
        "median": flower.FedMedian,
    }
    for name, numbers in SETTINGS.items():
        parameters = inspect.signature(classes[name].__init__).parameters
        assert {key: number.default for key, number in numbers.items()} == {
            key: parameters[key].default for key in numbers
        }


def test_aggregation_needs_numpy_alone() -> None:
    code = (
        "import sys, notebook_federator.aggregation as a; a.make_strategy({'name': 'fedavg'});"
        "print(sorted({'torch', 'flwr', 'matplotlib', 'scipy', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
