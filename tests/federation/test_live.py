"""The live state: what each site's line says after what happened to it."""

from typing import Any

import pytest
from nbfed_site.contracts import SiteFailure, SiteState
from notebook_federator.federation.live import Live
from notebook_federator.federation.membership import Membership, fold
from notebook_federator.federation.status_table import span, status_table
from notebook_federator.ledger import Entry
from notebook_federator.rounds import port

CREATED = {"name": "study", "server": "", "key": "", "authority": ""}
JOINED = {"site": "a", "key": "KEY", "kit": "K", "token": "T", "certificate": "1", "expires": "2031"}
KIT = {"site": "a", "serial": 1, "kit": "K", "token": "T", "expires": "2030"}
SETTINGS = {"rounds": 3, "deadline": None}


class Told:
    """A live state, and a clock that goes on by a second with everything told."""

    def __init__(self) -> None:
        self.live, self.membership, self.seconds = Live(1), Membership(), 0

    def at(self) -> str:
        self.seconds += 1
        return f"2030-01-01T00:00:{self.seconds:02}.000Z"

    def decide(self, kind: str, **body: Any) -> "Told":
        entry = Entry(self.membership.entries, self.at(), kind, body, "", f"sha256:{self.seconds}")
        self.membership = fold([entry], self.membership)
        self.live.see_decision(entry, self.membership)
        return self

    def journal(self, kind: str, **body: Any) -> "Told":
        self.live.see_journal({"event": kind, "at": self.at(), **body})
        return self

    def transport(self, event: port.Event) -> "Told":
        self.live.see_transport(event, self.at())
        return self

    def state(self, **heard: float) -> dict[str, Any]:
        return self.live.to_json(self.at(), heard)

    def site(self, **heard: float) -> dict[str, Any]:
        return self.state(**heard)["sites"][0]

    def stage(self) -> tuple[str, str]:
        return self.site()["stage"], self.site()["cause"]


@pytest.fixture
def told() -> Told:
    found = Told().decide("created", **CREATED).decide("site_added", site="a")
    return found.journal("started", settings=SETTINGS)


def test_the_way_of_a_site(told: Told) -> None:
    assert told.stage() == ("invited", "no kit was made for it")
    assert told.decide("kit_issued", **KIT).stage() == ("invited", "")
    assert told.decide("site_joined", **JOINED).stage() == ("joined", "not connected")
    assert told.transport(port.Joined("a", "1")).stage() == ("image verified", "")
    told.transport(port.Progressed("a", SiteState("preparing")))
    assert told.stage() == ("image verified", "reads its data")
    assert told.journal("card", site="a", card={"unfit": []}).stage() == ("data verified", "")
    assert told.journal("received", site="a", round=0, task="canary").stage() == ("configured", "")
    told.journal("deadline", seconds=90).journal("round_started", round=1, quorum=2, deadline=90.0)
    told.transport(port.Progressed("a", SiteState("training", 1, 2, 3)))
    told.journal("received", site="a", round=1, task="train")
    site = told.site(a=1.5)
    assert (site["stage"], site["round"], site["epoch"], site["epochs"]) == ("training", 1, 2, 3)
    assert site["heard_seconds"] == 1.5
    assert told.journal("update", site="a", round=1).stage() == ("sent", "")
    state = told.state()
    run = state["run"]
    assert (run["state"], run["round"], run["rounds"], run["quorum"]) == ("running", 1, 3, 2)
    begun = f"2030-01-01T00:00:{told.seconds:02}Z"
    assert run["deadline"] > begun
    assert told.journal("finished", rounds=3, best=2).state()["run"]["state"] == "finished"


@pytest.mark.parametrize(
    ("happening", "stage", "cause"),
    [
        (lambda told: told.transport(port.Lost("a")), "lost", "not heard of any more"),
        (lambda told: told.transport(port.Failed("a", "t", SiteFailure("NE601", "cell 7 raised"))),
         "failed", "cell 7 raised"),
        (lambda told: told.journal("dropped", site="a", reason="too late"), "dropped", "too late"),
        (lambda told: told.journal("card", site="a", card={"unfit": ["Too few."]}),
         "image verified", "its data does not fit: Too few."),
        (lambda told: told.decide("join_refused", site="a", reason="a copy of the kit"),
         "image verified", "a join was refused: a copy of the kit"),
        (lambda told: told.journal("waiting", sites=["a"], why={"a": "not connected"}, quorum=1),
         "image verified", "not connected"),
        (lambda told: told.decide("site_removed", site="a", reason="the end").transport(port.Lost("a")),
         "removed", "the end"),
    ],
)  # fmt: skip
def test_what_keeps_a_site(told: Told, happening: Any, stage: str, cause: str) -> None:
    told.decide("kit_issued", **KIT).decide("site_joined", **JOINED).transport(port.Joined("a", "1"))
    assert happening(told).stage() == (stage, cause)


def test_a_silent_site_is_told_of_before_it_is_lost(told: Told) -> None:
    told.decide("site_joined", **JOINED).transport(port.Joined("a", "1"))
    assert told.site(a=17.0)["cause"] == "not heard of for 17 s"


def test_since_when_goes_by_the_stage_alone(told: Told) -> None:
    told.transport(port.Progressed("a", SiteState("training", 1, 1, 3)))
    begun = told.site()["since"]
    assert told.transport(port.Progressed("a", SiteState("training", 1, 1, 3))).site()["since"] == begun
    assert told.transport(port.Progressed("a", SiteState("training", 1, 2, 3))).site()["since"] > begun


def test_pause_and_resume(told: Told) -> None:
    assert told.journal("paused", round=1).state()["run"]["state"] == "paused"
    assert told.journal("resumed", round=1, after="pause").state()["run"]["state"] == "running"
    assert told.journal("stopped", code="").state()["run"]["state"] == "stopped"


def test_the_table_for_people(told: Told) -> None:
    told.decide("site_joined", **JOINED).journal("round_started", round=2, quorum=1, deadline=500.0)
    told.transport(port.Progressed("a", SiteState("training", 2, 1, 3)))
    lines = status_table(told.state(a=4.0)).splitlines()
    assert lines[0] == "study, run 1: running; round 2 of 3; quorum 1; deadline in 8 min"
    assert lines[2].split() == ["site", "stage", "round", "epoch", "since", "heard", "cause"]
    assert lines[3].split() == ["a", "training", "2", "1", "of", "3", "1", "s", "4", "s", "ago"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (90_000, "25 h")])
def test_time_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text
