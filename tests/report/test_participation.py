"""Who took part in which round, from the record that a run with faults leaves."""

from typing import Any

from notebook_federator.ledger import Entry
from notebook_federator.report.conduct_section import conduct_section, waivers
from notebook_federator.report.data import RoundRecord, RunRecord, SiteRecord
from notebook_federator.report.participation import rounds_of

TOOK = {"metrics": {}, "seconds": {}, "elapsed": 1.0, "bytes_down": 9, "bytes_up": 9}


def entries(*facts: tuple[str, dict[str, Any]]) -> list[Entry]:
    return [Entry(number, "", kind, body, "", "") for number, (kind, body) in enumerate(facts)]


def update(site: str, number: int, late: int = 0) -> tuple[str, dict[str, Any]]:
    return "update", {"site": site, "round": number, "late": late, "num_examples": 30, **TOOK}


def left(site: str, number: int, reason: str) -> tuple[str, dict[str, Any]]:
    return "dropped", {"site": site, "round": number, "task": "train", "reason": reason}


def two_rounds() -> tuple[RoundRecord, ...]:
    absent = {"d": "its data does not fit: 12 samples.", "e": "not drawn for this round"}
    return rounds_of(
        entries(
            ("round_started", {"round": 1, "sites": ["a", "b", "c"], "absent": absent}),
            update("a", 1),
            left("b", 1, "no reply before the deadline; its update may join a later round"),
            left("c", 1, "removed from the federation"),
            ("round_finished", {"round": 1, "seconds": 5.0}),
            ("round_started", {"round": 2, "sites": ["a"], "absent": {"b": "still at work on round 1"}}),
            update("a", 2),
            update("b", 2, late=1),
            ("round_finished", {"round": 2, "seconds": 5.0}),
        ),
        ["a", "b", "c", "d", "e", "f"],
    )


def test_each_site_of_each_round_is_told() -> None:
    first, second = two_rounds()
    presence = [part.presence for part in first.sites]
    assert presence == ["took part", "late", "removed", "absent", "not chosen", "no member"]
    assert first.sites[3].reason == "its data does not fit: 12 samples."
    assert [(part.presence, part.num_examples, part.late_weight) for part in second.sites[:2]] == [
        ("took part", 30, 0.0),
        ("took part", 0, 15.0),
    ]


def test_the_page_shows_late_updates_and_waivers(heart: dict[str, Any]) -> None:
    value = {**heart, "sites": [dict(site) for site in heart["sites"]]}
    site = value["sites"][0]
    site["card"] = {**site["card"], "unfit": ["12 samples, 30 are needed."]}
    site["waived"] = "a small hospital"
    value["rounds"] = [{**item, "sites": [dict(part) for part in item["sites"]]} for item in heart["rounds"]]
    value["rounds"][2]["sites"][1] |= {"presence": "took part", "num_examples": 0, "late_weight": 12.5}
    record = RunRecord.from_json(value)
    page = str(conduct_section(record))
    assert "took part late" in page
    assert "update of an earlier round, weight 12.5" in page
    assert "(12 samples, 30 are needed.), and was taken all the same: a small hospital." in page
    assert waivers(RunRecord.from_json(heart)) == []
    assert SiteRecord("x").waived == ""
