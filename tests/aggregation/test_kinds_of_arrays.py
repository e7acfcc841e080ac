"""Integers, booleans, odd layouts, lazy updates, and updates that do not fit."""

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from nbfed_site.contracts import NbfedError, RunUnreadable, SettingsInvalid, SiteDataFailed, SiteFailed
from notebook_federator.aggregation import SETTINGS, make_strategy

ALL = list(SETTINGS)


def run(name: str, current: Mapping, updates: list[tuple[Mapping, int]], **numbers: float) -> dict:
    strategy = make_strategy({"name": name, **numbers})
    strategy.begin(current)
    for arrays, weight in updates:
        strategy.add(arrays, weight)
    return strategy.finish()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integers_are_rounded_means_and_never_stepped(name: str, dtype: str) -> None:
    counter = np.array(0, dtype)
    updates = [({"seen": np.array(value, dtype)}, 10) for value in (10, 11, 13)]
    expected = 11
    assert run(name, {"seen": counter}, updates)["seen"] == np.array(expected, dtype)
    assert run(name, {"seen": counter}, updates)["seen"].dtype == dtype


@pytest.mark.parametrize("name", ALL)
def test_booleans_are_a_majority(name: str) -> None:
    current = {"mask": np.zeros(2, bool)}
    votes = [([True, False], 1), ([True, False], 1), ([False, True], 1)]
    result = run(name, current, [({"mask": np.array(vote)}, weight) for vote, weight in votes])
    assert result["mask"].tolist() == [True, False]


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int8"])
def test_extreme_integers_stay_in_range(dtype: str) -> None:
    info = np.iinfo(dtype)
    for value in (info.min, info.max):
        updates = [({"n": np.array([value], dtype)}, weight) for weight in (1, 2)]
        result = int(run("fedavg", {"n": np.zeros(1, dtype)}, updates)["n"][0])
        assert abs(result - int(value)) <= abs(int(value)) * 2**-52


def test_complex_numbers_are_averaged() -> None:
    updates = [({"w": np.array([1 + 2j], np.complex64)}, 1), ({"w": np.array([3 - 2j], np.complex64)}, 1)]
    assert run("fedavg", {"w": np.zeros(1, np.complex64)}, updates)["w"].tolist() == [2 + 0j]


@pytest.mark.parametrize("name", ALL)
def test_strided_and_big_arrays_give_the_same_as_plain_ones(name: str) -> None:
    generator = np.random.default_rng(1)
    rows = [generator.standard_normal((64, 48), dtype=np.float32) for _ in range(4)]
    plain = run(name, {"w": rows[0]}, [({"w": row}, 3) for row in rows[1:]])
    strided = run(
        name, {"w": np.asfortranarray(rows[0])}, [({"w": np.asfortranarray(row)}, 3) for row in rows[1:]]
    )
    np.testing.assert_array_equal(plain["w"], strided["w"])


@pytest.mark.parametrize("name", ALL)
def test_inputs_are_left_alone(name: str) -> None:
    current, update = {"w": np.ones(5, np.float32)}, {"w": np.full(5, 2, np.float32)}
    result = run(name, current, [(update, 2), (update, 3)])
    result["w"] += 1
    assert current["w"].tolist() == [1] * 5
    assert update["w"].tolist() == [2] * 5


class FromDisk(Mapping):
    """Arrays that count how often each is read."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self.reads = dict.fromkeys(arrays, 0)

    def __getitem__(self, name: str) -> np.ndarray:
        self.reads[name] += 1
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


@pytest.mark.parametrize("name", ALL)
def test_each_array_of_an_update_is_read_once(name: str) -> None:
    arrays = {"a": np.ones(3, np.float32), "b": np.ones((), np.float32)}
    updates = [FromDisk(arrays), FromDisk(arrays)]
    current = FromDisk(arrays)
    run(name, current, [(update, 5) for update in updates])
    assert [update.reads for update in updates] == [{"a": 1, "b": 1}] * 2
    assert max(current.reads.values()) <= 2


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"a": np.ones(3, np.float32)}, "'b' missing"),
        ({"a": np.ones(3, np.float32), "b": np.ones(1), "c": np.ones(1)}, "'c' not in the model"),
        ({"a": np.ones(4, np.float32), "b": np.ones(1)}, "float32 [4]"),
        ({"a": np.ones((3, 1), np.float32), "b": np.ones(1)}, "[3, 1]"),
        ({"a": np.ones(3, np.float64), "b": np.ones(1)}, "float64 [3]"),
    ],
)
def test_updates_that_do_not_fit_are_refused(name: str, update: dict, said: str) -> None:
    strategy = make_strategy({"name": name})
    strategy.begin({"a": np.ones(3, np.float32), "b": np.ones(1)})
    with pytest.raises(SiteFailed) as refusal:
        strategy.add(update, 1)
    assert said in refusal.value.what


@pytest.mark.parametrize("name", ALL)
def test_a_round_with_nothing_to_aggregate_says_so(name: str) -> None:
    current = {"a": np.ones(3, np.float32)}
    for updates in ([], [(current, 0), (current, 0)]):
        with pytest.raises(SiteDataFailed):
            run(name, current, updates)
    with pytest.raises(NbfedError, match="-1 samples"):
        run(name, current, [(current, -1)])


@pytest.mark.parametrize("name", ALL)
def test_a_site_without_samples_does_not_count(name: str) -> None:
    current, update = {"a": np.zeros(3, np.float32)}, {"a": np.full(3, 2, np.float32)}
    wild = {"a": np.full(3, 1e6, np.float32)}
    np.testing.assert_array_equal(
        run(name, current, [(wild, 0), (update, 7)])["a"], run(name, current, [(update, 7)])["a"]
    )


def test_text_cannot_be_averaged() -> None:
    with pytest.raises(SettingsInvalid, match="vocabulary"):
        make_strategy({"name": "fedavg"}).begin({"vocabulary": np.array(["a"])})


@pytest.mark.parametrize("name", ALL)
def test_a_new_round_forgets_an_unfinished_one(name: str) -> None:
    current, wild = {"a": np.zeros(3, np.float32)}, {"a": np.full(3, 9, np.float32)}
    update = {"a": np.ones(3, np.float32)}
    strategy = make_strategy({"name": name})
    strategy.begin(current)
    strategy.add(wild, 5)
    strategy.begin(current)
    strategy.add(update, 5)
    np.testing.assert_array_equal(strategy.finish()["a"], run(name, current, [(update, 5)])["a"])


RESUMABLE = [
    ("fedavg", {}),
    ("fedavgm", {"server_momentum": 0.9}),
    ("fedadam", {}),
    ("fedyogi", {}),
    ("median", {}),
]


@pytest.mark.parametrize(("name", "numbers"), RESUMABLE)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_resumed_strategy_goes_on_bit_for_bit(name: str, numbers: dict, dtype: str) -> None:
    generator = np.random.default_rng(3)
    model = {"w": generator.standard_normal(1000).astype(dtype), "n": np.array(3)}
    stages = [
        [
            ({"w": generator.standard_normal(1000).astype(dtype), "n": np.array(4)}, 5 + site)
            for site in range(3)
        ]
        for _ in range(4)
    ]
    through = make_strategy({"name": name, **numbers})
    resumed = make_strategy({"name": name, **numbers})
    current = model
    for stage in stages:
        stored = {key: array.copy() for key, array in through.state().items()}
        resumed = make_strategy({"name": name, **numbers})
        resumed.restore(stored)
        assert {k: v.tobytes() for k, v in resumed.state().items()} == {
            k: v.tobytes() for k, v in stored.items()
        }
        results = []
        for strategy in (through, resumed):
            strategy.begin(current)
            for arrays, weight in stage:
                strategy.add(arrays, weight)
            results.append(strategy.finish())
        assert results[0]["w"].tobytes() == results[1]["w"].tobytes()
        current = results[0]


def as_bytes(arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays.items()}


def test_the_state_of_another_strategy_or_model_is_refused() -> None:
    strategy = make_strategy({"name": "fedadam"})
    with pytest.raises(RunUnreadable):
        strategy.restore({"rounds": np.array([1]), "momentum/w": np.ones(3)})
    strategy.restore({"rounds": np.array([1]), "m/w": np.ones(3), "v/w": np.ones(3)})
    with pytest.raises(RunUnreadable, match="'m/w'"):
        strategy.begin({"w": np.ones(4)})
