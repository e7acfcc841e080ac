"""Scores and intervals against published values, scikit-learn and definitions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbfed_site.contracts import Evaluation, SettingsInvalid
from notebook_federator.report.scores import (
    SCORES,
    Confusion,
    Score,
    all_labels,
    binary_scores,
    declared_scores,
    f1_score,
    macro_scores,
    pooled,
    positive_label,
    proportion,
    wilson,
)
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

COUNTS = st.integers(0, 300)


def square(size: int) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    row = st.lists(st.integers(0, 20), min_size=size, max_size=size).map(tuple)
    return st.lists(row, min_size=size, max_size=size).map(tuple)


def answers(counts: tuple[tuple[int, ...], ...]) -> tuple[list[int], list[int]]:
    true, predicted = [], []
    for t, row in enumerate(counts):
        for p, count in enumerate(row):
            true += [t] * count
            predicted += [p] * count
    return true, predicted


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_values_of_newcombe_1998(count: int, total: int, low: float, high: float) -> None:
    assert wilson(count, total) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(total=st.integers(1, 10**6), share=st.floats(0, 1))
def test_wilson_holds_the_proportion_and_mirrors(total: int, share: float) -> None:
    count = round(total * share)
    low, high = wilson(count, total)
    assert 0 <= low <= count / total <= high <= 1
    assert low < high
    mirrored = wilson(total - count, total)
    assert mirrored == (pytest.approx(1 - high, abs=1e-12), pytest.approx(1 - low, abs=1e-12))


def test_nothing_of_nothing_is_undefined() -> None:
    assert proportion(0, 0) == Score(None, None, None, 0, 0)
    assert f1_score(0, 0, 0) == Score()
    scores = binary_scores(Confusion(("0", "1"), ((5, 0), (0, 0))), "1")
    assert [name for name, score in scores.items() if score.value is None] == ["sensitivity", "ppv", "f1"]
    assert scores["specificity"].value == 1.0


@given(hit=COUNTS, alarms=COUNTS, misses=COUNTS)
def test_f1_lies_in_its_interval(hit: int, alarms: int, misses: int) -> None:
    score = f1_score(hit, alarms, misses)
    if hit + alarms + misses == 0:
        assert score.value is None
        return
    assert score.value == pytest.approx(2 * hit / (2 * hit + alarms + misses))
    assert 0 <= score.low <= score.value <= score.high <= 1


@given(counts=square(2).filter(lambda rows: sum(map(sum, rows)) > 0))
def test_binary_scores_are_those_of_scikit_learn(counts: tuple[tuple[int, ...], ...]) -> None:
    true, predicted = answers(counts)
    scores = binary_scores(Confusion(("0", "1"), counts), "1")
    ppv, sensitivity, f1, _ = precision_recall_fscore_support(
        true, predicted, labels=[0, 1], zero_division=math.nan
    )
    expected = dict(
        zip(
            SCORES,
            (sensitivity[1], sensitivity[0], ppv[1], ppv[0], f1[1], accuracy_score(true, predicted)),
            strict=True,
        )
    )
    for name, value in expected.items():
        if math.isnan(value) or scores[name].value is None:
            assert scores[name].value is None
        else:
            assert scores[name].value == pytest.approx(value)


@given(counts=square(4).filter(lambda rows: all(map(sum, rows)) and all(map(sum, zip(*rows, strict=True)))))
def test_macro_scores_are_those_of_scikit_learn(counts: tuple[tuple[int, ...], ...]) -> None:
    true, predicted = answers(counts)
    scores = macro_scores(Confusion(("a", "b", "c", "d"), counts))
    ppv, sensitivity, f1, _ = precision_recall_fscore_support(true, predicted, average="macro")
    assert scores["ppv"].value == pytest.approx(ppv)
    assert scores["sensitivity"].value == pytest.approx(sensitivity)
    assert scores["f1"].value == pytest.approx(f1)
    assert scores["f1"].low is None
    assert scores["accuracy"].value == pytest.approx(accuracy_score(true, predicted))


def test_a_macro_score_is_undefined_if_a_class_is() -> None:
    scores = macro_scores(Confusion(("a", "b", "c"), ((3, 1, 0), (0, 4, 0), (0, 0, 0))))
    assert scores["sensitivity"].value is None
    assert scores["specificity"].value is not None


@given(parts=st.lists(square(3), min_size=1, max_size=5))
def test_pooled_counts_are_those_of_all_samples_together(parts: list[tuple[tuple[int, ...], ...]]) -> None:
    evaluations = [Evaluation(sum(map(sum, part)), {}, part, ("0", "1", "2")) for part in parts]
    confusion = pooled(evaluations, ("0", "1", "2"))
    assert confusion.total == sum(item.num_examples for item in evaluations)
    for true in range(3):
        for predicted in range(3):
            assert confusion.counts[true][predicted] == sum(part[true][predicted] for part in parts)


def test_pooling_goes_by_label_and_not_by_position() -> None:
    one = Evaluation(3, {}, ((3,),), ("10",))
    two = Evaluation(10, {}, ((1, 2), (3, 4)), ("10", "2"))
    labels = all_labels([one, two])
    assert labels == ("2", "10")
    assert pooled([one, two], labels).counts == ((4, 3), (2, 4))
    assert pooled([one, Evaluation(1, {})], labels) is None
    assert pooled([], labels) is None


@pytest.mark.parametrize(
    ("labels", "declared", "expected"),
    [
        (("0", "1"), None, "1"),
        (("1", "2"), None, "1"),
        (("benign", "malignant"), None, "malignant"),
        (("benign", "malignant"), "benign", "benign"),
        (("a", "b", "c"), None, None),
        (("a", "b", "c"), "b", "b"),
        ((), None, None),
        (("0",), None, None),
    ],
)
def test_which_class_is_positive(labels: tuple, declared: str | None, expected: str | None) -> None:
    assert positive_label(labels, declared) == expected


def test_an_unknown_positive_class_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="'tumour'"):
        positive_label(("0", "1"), "tumour")


def test_without_counts_only_the_declared_accuracy_is_known() -> None:
    scores = declared_scores([Evaluation(30, {"accuracy": 0.9}), Evaluation(10, {"accuracy": 0.5})])
    assert scores["accuracy"].value == pytest.approx(0.8)
    assert scores["accuracy"].low < 0.8 < scores["accuracy"].high
    assert scores["f1"] == Score()
    assert declared_scores([Evaluation(30, {"accuracy": 90.0})])["accuracy"] == Score()
    assert declared_scores([Evaluation(30, {"loss": 1.0})])["accuracy"] == Score()
