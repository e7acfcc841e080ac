"""Every strategy against a plain float64 reference, on generated models and sites."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from notebook_federator.aggregation import SETTINGS, make_strategy

SHAPES = {"conv.weight": (3, 2, 2), "conv.bias": (3,), "scale": (), "nothing": (0, 4)}
Model = dict[str, np.ndarray]
Updates = list[tuple[Model, int]]


def model_of(dtype: str) -> st.SearchStrategy[Model]:
    limit = 100.0 if dtype == "float16" else 1e4
    values = st.floats(-limit, limit, width=int(dtype[-2:]))
    return st.fixed_dictionaries(
        {name: hnp.arrays(dtype, shape, elements=values) for name, shape in SHAPES.items()}
    )


@st.composite
def rounds_of(draw: st.DrawFn, least: int = 1) -> tuple[Model, Updates]:
    """A current model, and the updates of some sites (at least one of them with samples)."""
    dtype = draw(st.sampled_from(["float16", "float32", "float64"]))
    count = draw(st.integers(least, 6))
    weights = draw(st.lists(st.integers(0, 5000), min_size=count, max_size=count).filter(any))
    return draw(model_of(dtype)), [(draw(model_of(dtype)), weight) for weight in weights]


def run(name: str, current: Model, updates: Updates, **numbers: float) -> Model:
    strategy = make_strategy({"name": name, **numbers})
    strategy.begin(current)
    for arrays, weight in updates:
        strategy.add(arrays, weight)
    return strategy.finish()


def reference_mean(updates: Updates) -> Model:
    total = sum(weight for _, weight in updates)
    return {
        name: sum(arrays[name].astype(np.float64) * weight for arrays, weight in updates) / total
        for name in SHAPES
    }


def reference_adaptive(name: str, current: Model, updates: Updates) -> Model:
    eta = {"fedadam": 0.1 * math.sqrt(1 - 0.99**2) / (1 - 0.9**2), "fedyogi": 0.01}[name]
    result = {}
    for key, mean in reference_mean(updates).items():
        delta = mean - current[key]
        result[key] = current[key] + eta * 0.1 * delta / (np.sqrt(0.01 * delta**2) + 1e-3)
    return result


def stacked(reduce: Callable[[np.ndarray], np.ndarray], updates: Updates) -> Model:
    counted = [arrays for arrays, weight in updates if weight]
    return {
        name: reduce(np.sort([arrays[name].astype(np.float64) for arrays in counted], axis=0))
        for name in SHAPES
    }


def trimmed(rows: np.ndarray) -> np.ndarray:
    cut = int(0.2 * len(rows))
    return np.asarray(rows[cut : len(rows) - cut].mean(axis=0))


def reference(name: str, current: Model, updates: Updates) -> Model:
    match name:
        case "fedadam" | "fedyogi":
            return reference_adaptive(name, current, updates)
        case "median":
            return stacked(lambda rows: np.asarray(np.median(rows, axis=0)), updates)
        case "trimmed_mean":
            return stacked(trimmed, updates)
    return reference_mean(updates)


def noise(current: Model, updates: Updates) -> float:
    """What float64 arithmetic may lose on these numbers; an adaptive step magnifies it up to 75 times."""
    arrays = [array for model in (current, *(arrays for arrays, _ in updates)) for array in model.values()]
    largest = max(float(np.abs(array.astype(np.float64)).max(initial=0)) for array in arrays)
    return 2000 * float(np.finfo(np.float64).eps) * largest


def assert_close(result: Model, expected: Model, current: Model, atol: float) -> None:
    assert list(result) == list(current)
    for name, array in result.items():
        assert array.dtype == current[name].dtype
        assert array.shape == current[name].shape
        info = np.finfo(array.dtype)
        np.testing.assert_allclose(
            array.astype(np.float64),
            expected[name].astype(np.float64),
            rtol=2 * float(info.eps),
            atol=atol + float(info.smallest_subnormal),
        )


@pytest.mark.parametrize("name", SETTINGS)
@given(case=rounds_of())
@settings(max_examples=40)
def test_matches_a_float64_reference(name: str, case: tuple[Model, Updates]) -> None:
    current, updates = case
    expected = reference(name, current, updates)
    assert_close(run(name, current, updates), expected, current, noise(current, updates))


@given(case=rounds_of(), momentum=st.floats(0, 0.99), rate=st.floats(0.01, 2))
@settings(max_examples=40)
def test_fedavgm_over_two_rounds(case: tuple[Model, Updates], momentum: float, rate: float) -> None:
    current, updates = case
    current = {name: array.astype(np.float64) for name, array in current.items()}
    updates = [({k: v.astype(np.float64) for k, v in arrays.items()}, weight) for arrays, weight in updates]
    strategy = make_strategy({"name": "fedavgm", "server_learning_rate": rate, "server_momentum": momentum})
    velocity = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    for _ in range(2):
        strategy.begin(current)
        for arrays, weight in updates:
            strategy.add(arrays, weight)
        mean = reference_mean(updates)
        velocity = {name: momentum * velocity[name] + mean[name] - current[name] for name in SHAPES}
        expected = {name: current[name] + rate * velocity[name] for name in SHAPES}
        current = strategy.finish()
        for name in SHAPES:
            np.testing.assert_allclose(current[name], expected[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SETTINGS)
@given(case=rounds_of(least=2), data=st.data())
@settings(max_examples=25)
def test_order_of_sites_does_not_matter(name: str, case: tuple[Model, Updates], data: st.DataObject) -> None:
    current, updates = case
    first = run(name, current, updates)
    second = run(name, current, data.draw(st.permutations(updates)))
    exact = name in ("median", "trimmed_mean")
    for key, array in first.items():
        if exact:
            np.testing.assert_array_equal(array, second[key])
    assert_close(first, second, current, noise(current, updates))


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "fedavgm", "median", "trimmed_mean"])
@given(case=rounds_of(), weights=st.lists(st.integers(1, 10**12), min_size=1, max_size=5))
@settings(max_examples=25)
def test_equal_updates_come_back_bit_for_bit(
    name: str, case: tuple[Model, Updates], weights: list[int]
) -> None:
    current, updates = case
    update = updates[0][0]
    result = run(name, current, [(update, weight) for weight in weights])
    for key, array in result.items():
        np.testing.assert_array_equal(array, update[key])


@given(model=model_of("float64"), weight=st.integers(1, 10**15))
@settings(max_examples=25)
def test_a_single_site_gets_its_own_model_back(model: Model, weight: int) -> None:
    result = run("fedavg", {name: np.zeros_like(array) for name, array in model.items()}, [(model, weight)])
    assert {name: array.tobytes() for name, array in result.items()} == {
        name: array.tobytes() for name, array in model.items()
    }


@pytest.mark.parametrize("sites", [1, 2, 3, 4, 7, 40])
def test_robust_strategies_on_arrays_larger_than_a_piece(sites: int) -> None:
    generator = np.random.default_rng(sites)
    rows = generator.standard_normal((sites, 300_001), dtype=np.float32)
    updates = [({"w": row}, 1) for row in rows]
    current = {"w": np.zeros(300_001, np.float32)}
    np.testing.assert_allclose(run("median", current, updates)["w"], np.median(rows, axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        run("trimmed_mean", current, updates, beta=0.3)["w"],
        np.sort(rows.astype(np.float64), axis=0)[int(0.3 * sites) : sites - int(0.3 * sites)].mean(axis=0),
        rtol=1e-6,
        atol=1e-7,
    )


@pytest.mark.parametrize("name", ["fedavg", "fedadam", "fedavgm"])
def test_means_of_arrays_larger_than_a_piece(name: str) -> None:
    generator = np.random.default_rng(5)
    numbers = {"server_momentum": 0.5} if name == "fedavgm" else {}
    rows = generator.standard_normal((3, 131, 1009), dtype=np.float32)
    current = {"w": generator.standard_normal((131, 1009), dtype=np.float32)}
    mean = np.average(rows.astype(np.float64), axis=0, weights=[1, 2, 3])
    delta = mean - current["w"]
    adam = 0.1 * math.sqrt(1 - 0.99**2) / (1 - 0.9**2) * 0.1 * delta / (0.1 * np.abs(delta) + 1e-3)
    expected = current["w"] + adam if name == "fedadam" else mean
    updates = [({"w": row}, weight) for weight, row in enumerate(rows, start=1)]
    result = run(name, current, updates, **numbers)
    np.testing.assert_allclose(result["w"], expected, rtol=1e-5, atol=1e-6)
