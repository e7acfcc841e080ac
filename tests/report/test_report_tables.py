"""The record's JSON, Table 2, differences, the finding and the notes."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from nbfed_site.contracts import RunUnreadable, SettingsInvalid
from notebook_federator.report import HEADINGS, Row, RunRecord, table
from notebook_federator.report.tables import differences, results_of
from notebook_federator.report.words import Headline, headline, notes

Value = dict[str, Any]
LAST = 12


def headline_of(value: Value) -> Headline:
    record = RunRecord.from_json(value)
    return headline(record, [row for row in table(record) if row.test_set is None])


def notes_of(value: Value) -> list[str]:
    record = RunRecord.from_json(value)
    return notes(results_of(record), table(record))


def shared(value: Value) -> dict[str, Row]:
    return {row.title: row for row in table(RunRecord.from_json(value)) if row.test_set is None}


def evaluation(value: Value, alone: str | None, site: str, number: int = LAST) -> Value:
    return next(
        item["evaluation"]
        for item in value["evaluations"]
        if (item["alone"], item["round"], item["site"]) == (alone, number, site)
    )


def test_the_record_survives_its_json(heart: Value) -> None:
    record = RunRecord.from_json(heart)
    again = RunRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert again == record
    assert json.loads(json.dumps(record.to_json())) == heart


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value.update(schema_version=2),
        lambda value: value.pop("schema_version"),
        lambda value: value.pop("settings"),
        lambda value: value["settings"].pop("rounds"),
        lambda value: value["rounds"][0]["sites"][0].update(colour="red"),
        lambda value: value.update(evaluations=3),
        lambda value: value["sites"][0]["card"].pop("samples"),
    ],
)
def test_a_broken_record_is_said_as_such(heart: Value, spoil: Callable[[Value], object]) -> None:
    spoil(heart)
    with pytest.raises(RunUnreadable):
        RunRecord.from_json(heart)


def test_table_2_has_each_institution_and_the_federation_on_each_test_set(heart: Value) -> None:
    rows = table(RunRecord.from_json(heart))
    models = ["cleveland alone", "hungarian alone", "switzerland alone", "va alone", "Federation"]
    models.append("Federation, best (round 4)")
    assert [row.title for row in rows] == models * 5
    sets = [None, "cleveland", "hungarian", "switzerland", "va"]
    assert [row.test_set for row in rows] == [name for name in sets for _ in models]
    for row in rows:
        assert len(row.cells()) == len(HEADINGS)


def test_the_shared_test_set_is_the_sum_of_the_sites_counts(heart: Value) -> None:
    row = shared(heart)["Federation"]
    parts = [evaluation(heart, None, site["name"])["confusion"] for site in heart["sites"]]
    expected = tuple(tuple(sum(part[t][p] for part in parts) for p in (0, 1)) for t in (0, 1))
    assert row.confusion.counts == expected
    assert row.scores["sensitivity"].count == expected[1][1]
    assert row.scores["sensitivity"].total == sum(expected[1])
    assert row.num_examples == 254


def test_undefined_is_not_zero(heart: Value) -> None:
    row = shared(heart)["switzerland alone"]
    assert row.scores["npv"].value is None
    assert row.scores["specificity"].value == 0.0
    assert row.cells()[HEADINGS.index("NPV")] == "n/a"
    assert row.cells()[HEADINGS.index("Specificity")].startswith("0.000 (0.000–")


def test_differences_are_federation_minus_alone(heart: Value) -> None:
    rows = table(RunRecord.from_json(heart))
    found = {item.site: item for item in differences(rows, None)}
    by_title = shared(heart)
    for site, item in found.items():
        ours, theirs = by_title["Federation"].scores, by_title[f"{site} alone"].scores
        for name, value in item.values.items():
            if ours[name].value is None or theirs[name].value is None:
                assert value is None
            else:
                assert value == pytest.approx(ours[name].value - theirs[name].value)
    assert "specificity" in found["va"].apart
    assert "accuracy" not in found["cleveland"].apart


def test_the_finding_says_when_an_institution_alone_is_as_good(heart: Value) -> None:
    assert headline_of(heart).finding == "The federation was exactly as accurate as cleveland alone"


def test_the_finding_says_when_an_institution_alone_is_better(heart: Value) -> None:
    evaluation(heart, "cleveland", "va")["confusion"] = [[10, 0], [0, 35]]
    head = headline_of(heart)
    assert head.finding == "The federation was less accurate than cleveland alone"
    assert "may be chance" in head.detail


def test_the_finding_says_when_the_federation_is_better(heart: Value) -> None:
    evaluation(heart, None, "va")["confusion"] = [[10, 0], [0, 35]]
    head = headline_of(heart)
    assert head.finding == "The federation was more accurate than each of the 4 institutions alone"
    assert "accuracy 0.791 (95 % interval 0.737–0.837)" in head.detail
    assert "Always answering the most frequent class would give 0.516." in head.detail


def test_a_clear_difference_is_not_called_chance(heart: Value) -> None:
    for site in ("cleveland", "hungarian", "switzerland", "va"):
        (negative, positive) = (sum(row) for row in evaluation(heart, None, site)["confusion"])
        evaluation(heart, None, site)["confusion"] = [[negative, 0], [0, positive]]
    assert "chance" not in headline_of(heart).detail


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_a_run_that_did_not_end_well_says_so_first(heart: Value, state: str) -> None:
    heart["state"] = state
    heart["rounds"] = heart["rounds"][:5]
    assert headline_of(heart).finding == f"The run {state} after 5 of 12 rounds"
    assert notes_of(heart)[0] == f"The run {state}: 5 of 12 planned rounds were done."


def test_a_run_without_evaluations_still_has_a_report(heart: Value) -> None:
    heart["evaluations"] = []
    assert table(RunRecord.from_json(heart)) == []
    assert headline_of(heart).finding == "No accuracy was recorded"


def test_without_institutions_alone_the_federation_speaks_for_itself(heart: Value) -> None:
    heart["evaluations"] = [item for item in heart["evaluations"] if item["alone"] is None]
    assert headline_of(heart).finding.startswith("The federation reached an accuracy of 0.724")
    assert differences(table(RunRecord.from_json(heart)), None) == []


def test_a_model_that_missed_a_test_set_is_not_compared(heart: Value) -> None:
    heart["evaluations"] = [
        item for item in heart["evaluations"] if (item["alone"], item["site"]) != ("cleveland", "va")
    ]
    assert shared(heart)["cleveland alone"].missing == ("va",)
    assert "cleveland" not in {item.site for item in differences(table(RunRecord.from_json(heart)), None)}
    assert (
        headline_of(heart).finding == "The federation was more accurate than each of the 3 institutions alone"
    )
    assert any("cleveland alone was not evaluated at va" in note for note in notes_of(heart))


def test_the_last_round_is_not_shown_twice(heart: Value) -> None:
    heart["best_round"] = LAST
    assert [title for title in shared(heart) if title.startswith("Federation")] == ["Federation"]


def test_notes_tell_what_limits_the_numbers(heart: Value) -> None:
    heart["settings"]["best_by"] = "highest accuracy"
    heart["sites"][1]["receipts"]["refused"] = 2
    heart["sites"][2]["card"] = None
    heart["alone_epochs"] = 12
    evaluation(heart, None, "va")["warnings"] = ["the labels could not be read."]
    said = "\n".join(notes_of(heart))
    for part in (
        "Round 9: closed at its deadline with 3 of 4 sites.",
        "trained for 12 epochs, the federation for 12 × 2",
        "its scores are optimistic",
        "switzerland never described its data.",
        "va: 2 samples of train could not be read.",
        "va is not in the model of rounds 5–6 (lost and absent).",
        "hungarian is not in the model of round 9 (late).",
        "hungarian held back 2 outputs by its release policy.",
        "The test set of switzerland has only 1 of class 0 and 15 of class 1",
        "switzerland alone answered class 1 for every sample of the shared test set.",
        "The federation at va: the labels could not be read.",
    ):
        assert part in said
    assert len(notes_of(heart)) == len(set(notes_of(heart)))


def test_a_best_round_chosen_on_validation_data_is_not_called_optimistic(heart: Value) -> None:
    heart["settings"]["best_by"] = "lowest pooled validation loss"
    said = "\n".join(notes_of(heart))
    assert "Round 4 was the best by lowest pooled validation loss" in said
    assert "optimistic" not in said


def test_a_test_set_of_one_class_is_noted(heart: Value) -> None:
    for alone in (None, "cleveland"):
        evaluation(heart, alone, "switzerland")["confusion"] = [[0, 0], [4, 11]]
    rows = [row for row in table(RunRecord.from_json(heart)) if row.test_set == "switzerland"]
    assert next(row for row in rows if row.title == "Federation").scores["specificity"].value is None
    assert any("switzerland holds class 1 only" in note for note in notes_of(heart))


def test_without_confusion_counts_accuracy_remains(heart: Value) -> None:
    for item in heart["evaluations"]:
        item["evaluation"].update(confusion=None, labels=[])
    row = shared(heart)["Federation"]
    assert row.confusion is None
    assert row.scores["accuracy"].value == pytest.approx(184 / 254, abs=1e-5)
    assert row.scores["f1"].value is None
    assert headline_of(heart).finding.startswith("The federation was ")
    assert any("confusion counts could not be observed" in note for note in notes_of(heart))


def test_more_classes_give_macro_scores_and_scores_of_each_class(heart: Value) -> None:
    for item in heart["evaluations"]:
        item["evaluation"].update(confusion=[[5, 1, 0], [2, 6, 1], [0, 3, 9]], labels=["a", "b", "c"])
    row = shared(heart)["Federation"]
    assert list(row.classes) == ["a", "b", "c"]
    assert row.classes["a"]["sensitivity"].value == pytest.approx(5 / 6)
    assert row.scores["sensitivity"].value == pytest.approx((5 / 6 + 6 / 9 + 9 / 12) / 3)
    heart["positive"] = "b"
    assert shared(heart)["Federation"].scores["sensitivity"].value == pytest.approx(6 / 9)
    heart["positive"] = "d"
    with pytest.raises(SettingsInvalid):
        shared(heart)


def test_sites_may_be_called_anything(heart: Value) -> None:
    renamed = json.loads(json.dumps(heart).replace('"cleveland"', '"Federation"'))
    assert headline_of(renamed).finding == "The federation was exactly as accurate as Federation alone"
    assert shared(renamed)["Federation alone"].scores["accuracy"].count == 184
