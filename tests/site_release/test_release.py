"""The release policy: exactly what is declared leaves, all else is refused by name."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbfed_site.contracts import ArraySpec, Evaluation, ReleasePolicy, ReleaseRefused, RoundOutput, SiteCard
from nbfed_site.release import release

SPECS = (ArraySpec("w", (2, 3), "float32"), ArraySpec("n", (), "int64"))
POLICY = ReleasePolicy()


def update(**changes) -> RoundOutput:
    arrays = {"w": np.ones((2, 3), np.float32), "n": np.array(4)}
    output = RoundOutput("t1", "train", 3, num_examples=20, metrics={"loss": 0.5}, arrays=arrays)
    return dataclasses.replace(output, **changes)


def evaluated(**changes) -> RoundOutput:
    evaluation = Evaluation(12, {"loss": 0.5, "accuracy": 0.75}, ((5, 1), (2, 4)), ("0", "1"))
    return RoundOutput("t1", "evaluate", 3, evaluation=dataclasses.replace(evaluation, **changes))


def test_what_is_declared_passes_unchanged() -> None:
    for output in (update(), evaluated(), update(evaluation=evaluated().evaluation)):
        assert release(output, SPECS, POLICY) == output


def with_w(value):
    return update(arrays={"w": value, "n": np.array(4)})


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (with_w(np.ones((2, 3))), r"'w' is float64\[2, 3\]; only float32\[2, 3\]"),
        (with_w(np.ones((3, 2), np.float32)), "'w'"),
        (with_w(np.full((2, 3), np.nan, np.float32)), "NaN"),
        (with_w(np.full((2, 3), np.inf, np.float32)), "infinite"),
        (update(arrays={"w": np.ones((2, 3), np.float32)}), "'n'"),
        (update(arrays={"n": np.array(4), "w": np.ones((2, 3), np.float32)}), "another order"),
        (update(arrays={**update().arrays, "patients": np.ones(4)}), "'patients'"),
        (update(num_examples=9), "9 samples; at least 10"),
        (update(metrics={"dice": 0.5}), "'dice' is not declared"),
        (update(metrics={"loss": [0.5, 0.4]}), "'loss' is a list"),
        (update(metrics={"loss": "0.5"}), "'loss' is a str"),
        (update(metrics={"loss": np.ones(1)}), r"ndarray\[1\]"),
        (update(metrics={"loss": None}), "NoneType"),
        (update(metrics={"loss": 1j}), "complex"),
        (update(card=SiteCard({}, {}, {}, SPECS)), "may not hold card"),
        (dataclasses.replace(evaluated(), arrays=update().arrays), "may not hold arrays"),
        (dataclasses.replace(update(), kind="describe"), "may not hold arrays"),
        (dataclasses.replace(update(), kind="anything"), "may not hold arrays"),
        (evaluated(num_examples=9, confusion=None), "evaluation rests on 9"),
        (evaluated(num_examples=13), "confusion"),
        (evaluated(confusion=((5, 1), (2, 4.0))), "confusion"),
        (evaluated(confusion=((13, 1), (2, -4))), "confusion"),
        (evaluated(confusion=((5, 1, 2), (2, 2, 0))), "confusion"),
        (evaluated(labels=("0",)), "confusion"),
        (evaluated(metrics={"result": [1, 0, 1]}), "'result' is a list"),
        (evaluated(metrics={"accuracy": np.zeros(12)}), r"'accuracy' is a ndarray\[12\]"),
        (update(evaluation=Evaluation(3, {})), "evaluation rests on 3"),
    ],
)
def test_anything_else_is_refused_by_name(output, said) -> None:
    with pytest.raises(ReleaseRefused, match=said):
        release(output, SPECS, POLICY)


def test_the_largest_update_is_what_the_policy_says() -> None:
    release(update(), SPECS, ReleasePolicy(max_bytes=32))
    with pytest.raises(ReleaseRefused, match="32 bytes; at most 31"):
        release(update(), SPECS, ReleasePolicy(max_bytes=31))


def test_scalars_of_every_kind_leave_as_floats() -> None:
    import torch

    metrics = {"loss": torch.tensor(0.5), "accuracy": np.float32(0.25), "f1": np.array(1), "auc": 1}
    found = release(evaluated(metrics=metrics), SPECS, POLICY).evaluation.metrics
    assert found == {"loss": 0.5, "accuracy": 0.25, "f1": 1.0, "auc": 1.0}
    assert {type(value) for value in found.values()} == {float}


def test_undefined_metrics_are_left_out() -> None:
    metrics = {"loss": math.nan, "accuracy": 0.5, "auc": math.inf}
    assert release(evaluated(metrics=metrics), SPECS, POLICY).evaluation.metrics == {"accuracy": 0.5}


def test_an_initial_model_needs_no_examples_and_a_card_no_arrays() -> None:
    first = dataclasses.replace(update(), kind="initialise", num_examples=0)
    assert release(first, SPECS, POLICY) == first
    card = RoundOutput("t", "describe", 0, card=SiteCard({"train": 3}, {}, {}, SPECS))
    assert release(card, SPECS, POLICY) == card


@given(st.integers(0, 299_999), st.sampled_from([np.nan, np.inf, -np.inf]), st.booleans())
def test_one_bad_value_anywhere_is_found(position, value, transposed) -> None:
    array = np.zeros((300, 1000), np.float32)
    array.flat[position] = value
    array = array.T if transposed else array
    specs = (ArraySpec("w", array.shape, "float32"),)
    with pytest.raises(ReleaseRefused, match="'w'"):
        release(update(arrays={"w": array}), specs, POLICY)
