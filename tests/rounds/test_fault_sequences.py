"""Whatever sites and coordinator do, in any order: no success without a quorum, no hang, no silent subset."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from nbfed_site.contracts import NbfedError
from notebook_federator.aggregation import make_strategy
from notebook_federator.rounds.deadlines import known_estimates
from notebook_federator.rounds.loop import Run
from notebook_federator.rounds.orders import StopAsked
from notebook_federator.rounds.quorum import Quorum
from notebook_federator.rounds.store import ModelStore

from .conftest import Pages, toy_site
from .faulty import Fault, World, world

PULLS = {"a": (0.0, 10), "b": (2.0, 20), "c": (5.0, 30), "d": (1.0, 40)}
HANDLERS = {name: toy_site(name, *values) for name, values in PULLS.items()}
TIMES = st.floats(0, 15).map(lambda value: round(value, 1))
ANY = "lose back restart fail forge slow hasten spoil mend waive remove add".split()  # noqa: SIM905
MENDED = (("lose", "back"), ("pause", "go_on"), ("restart", "restart"))
SAME = {"max_examples": 60, "deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def faults_of(kinds: list[str], most: int) -> st.SearchStrategy[list[Fault]]:
    return st.lists(st.builds(Fault, TIMES, st.sampled_from(kinds), st.sampled_from("abcd")), max_size=most)


def go(
    folder: Path, make: Any, scene: World, pages: Pages, strategy: str = "fedavg", **changes: Any
) -> ModelStore:
    chosen = make(**{"deadline": 20.0, "join_deadline": 60.0, **changes})
    store, made = ModelStore(folder), make_strategy({"name": strategy})
    folder.mkdir(parents=True, exist_ok=True)
    known = known_estimates(pages.facts)
    Run(chosen, scene, made, store, pages, scene.clock, scene.ask, estimates=known).go()
    return store


def check_rounds(pages: Pages, quorum: Quorum) -> None:
    """Every finished round had its quorum, accounts for every member, and began in a run not paused."""
    members, paused, started = set("abc"), False, {}
    accounted: set[str] = set()
    left = 0
    for kind, body in pages.facts:
        if kind in ("added", "removed"):
            members = members | {body["site"]} if kind == "added" else members - {body["site"]}
            left += kind == "removed"
        elif kind in ("paused", "resumed"):
            paused = kind == "paused"
        elif kind == "round_started":
            assert not paused
            started, accounted, left = body, set(body["absent"]), 0
            assert set(body["sites"]) | accounted == members
        elif kind in ("failed", "dropped") and body["round"] == started.get("round"):
            accounted.add(body["site"])
        elif kind == "round_finished":
            assert set(body["weights"]) <= set(started["sites"]) <= set(body["weights"]) | accounted
            fewest = next(number for number in range(1, 5) if quorum.of(number) == started["quorum"])
            assert len(body["weights"]) >= quorum.of(max(1, fewest - left))


@settings(**SAME)
@given(
    faults=faults_of([*ANY, "pause", "stop"], 10),
    quorum=st.sampled_from(["1", "2", "3", "60%", "100%"]),
    stragglers=st.sampled_from(["drop", "wait", "late"]),
    deadline=st.sampled_from([20.0, None]),
    patient=st.booleans(),
)
def test_no_success_without_a_quorum_and_no_hang(
    tmp_path_factory, settings, faults, quorum, stragglers, deadline, patient
) -> None:
    pages, scene = Pages(), world(HANDLERS, [*faults, Fault(200.0, "go_on"), *_hastened()])
    ended = None
    try:
        go(
            tmp_path_factory.mktemp("run") / "m",
            settings,
            scene,
            pages,
            quorum=quorum,
            stragglers=stragglers,
            deadline=deadline,
            patient=patient,
        )
    except (NbfedError, StopAsked) as error:
        ended = error
    event(type(ended).__name__)
    check_rounds(pages, Quorum(quorum))
    done = [body["round"] for body in pages.of("round_finished")]
    assert done == list(range(1, len(done) + 1))
    assert (ended is None) == bool(pages.of("finished")) == (len(done) == 4 and ended is None)
    if any(fault.do == "stop" and fault.at < 1 for fault in faults):
        assert isinstance(ended, StopAsked)


def _hastened() -> list[Fault]:
    return [Fault(300.0, "hasten", name) for name in "abcd"]


@settings(**SAME)
@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(MENDED), st.sampled_from("abc"), TIMES, st.floats(0.1, 9)), max_size=8
    ),
    stop=st.none() | TIMES,
    name=st.sampled_from(["fedavg", "fedadam"]),
)
def test_faults_that_are_mended_leave_the_model_as_it_would_have_been(
    tmp_path_factory, settings, undisturbed, pairs, stop, name
) -> None:
    faults = [
        fault
        for (begin, end), site, at, length in pairs
        for fault in (Fault(at, begin, site), Fault(at + length, end, site))
    ]
    folder = tmp_path_factory.mktemp("run") / "m"
    stops = [Fault(stop, "stop")] if stop is not None else []
    members = {site: HANDLERS[site] for site in "abc"}
    chosen = {"deadline": 500.0, "join_deadline": 500.0}
    try:
        store = go(folder, settings, world(members, [*faults, *stops]), Pages(), name, **chosen)
    except StopAsked:
        event("stopped and resumed")
        store = go(folder, settings, world(members, faults), Pages(), name, **chosen)
    assert store.arrays(4)["w"].tobytes() == undisturbed[name]


@pytest.fixture
def undisturbed(tmp_path_factory, settings) -> dict[str, bytes]:
    members = {site: HANDLERS[site] for site in "abc"}
    found = {}
    for name in ("fedavg", "fedadam"):
        store = go(tmp_path_factory.mktemp("whole") / "m", settings, world(members), Pages(), name)
        found[name] = store.arrays(4)["w"].tobytes()
    return found
