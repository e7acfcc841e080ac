"""What the coordinator orders in mid-run, and what a site has to show before it trains."""

from typing import Any

import numpy as np
import pytest
from nbfed_site.contracts import DataUnfit, QuorumMissed, RunUnreadable, SettingsInvalid, SiteDataFailed
from notebook_federator.rounds.checkpoints import write_arrays
from notebook_federator.rounds.orders import StopAsked
from notebook_federator.rounds.quorum import Quorum

from .faulty import Fault, Sim, World, world
from .test_fault_sequences import HANDLERS, go

THREE = {name: HANDLERS[name] for name in "abc"}


def kinds(pages: Any, *wanted: str) -> list[str]:
    return [kind for kind, _ in pages.facts if kind in wanted]


def weights(pages: Any) -> list[str]:
    return ["".join(sorted(body["weights"])) for body in pages.of("round_finished")]


def times_of(scene: World, site: str, kind: str) -> list[str]:
    return [task_id for name, task_id in scene.sent if name == site and task_id.startswith(kind)]


def test_no_round_begins_while_the_run_is_paused(tmp_path, settings, pages) -> None:
    scene = world(THREE, [Fault(3.5, "pause"), Fault(100.0, "go_on")])
    go(tmp_path / "m", settings, scene, pages)
    seen = kinds(pages, "round_started", "round_finished", "paused", "resumed")
    assert seen[:5] == ["round_started", "round_finished", "round_started", "round_finished", "paused"]
    assert seen[5:] == ["resumed", *["round_started", "round_finished"] * 2]
    assert pages.of("resumed") == [{"round": 2, "after": "pause"}]
    assert scene.now > 100


def test_a_stopped_run_keeps_its_rounds_and_goes_on_to_the_same_model(tmp_path, settings, pages) -> None:
    with pytest.raises(StopAsked, match="coordinator"):
        go(tmp_path / "m", settings, world(THREE, [Fault(4.5, "stop")]), pages)
    assert weights(pages) == ["abc", "abc"]
    store = go(tmp_path / "m", settings, world(THREE), pages)
    whole = go(tmp_path / "whole", settings, world(THREE), pages)
    assert store.arrays(4)["w"].tobytes() == whole.arrays(4)["w"].tobytes()
    assert {"round": 2, "after": "restart"} in pages.of("resumed")


def test_a_paused_run_can_be_stopped(tmp_path, settings, pages) -> None:
    with pytest.raises(StopAsked):
        go(tmp_path / "m", settings, world(THREE, [Fault(3.5, "pause"), Fault(50.0, "stop")]), pages)


def test_a_removed_site_is_dropped_in_mid_round_and_asked_for_nothing_more(tmp_path, settings, pages) -> None:
    scene = world(THREE, [Fault(0, "slow", "c"), Fault(20.5, "remove", "c")])
    go(tmp_path / "m", settings, scene, pages, quorum="60%", deadline=100.0, join_deadline=100.0)
    assert weights(pages) == ["ab", "ab", "ab", "ab"]
    assert pages.of("removed") == [{"site": "c"}]
    assert [body["reason"] for body in pages.of("dropped")] == ["removed from the federation"]
    assert times_of(scene, "c", "train") == ["train-1"]


def test_a_site_that_is_added_is_described_and_asked_from_the_next_round_on(
    tmp_path, settings, pages
) -> None:
    scene = world(HANDLERS, [Fault(2.5, "add", "d")])
    go(tmp_path / "m", settings, scene, pages, quorum="100%")
    assert weights(pages) == ["abc", "abc", "abcd", "abcd"]
    assert [body["quorum"] for body in pages.of("round_started")] == [3, 3, 4, 4]
    assert pages.of("round_started")[1]["absent"] == {"d": "describes its data"}


def test_one_that_never_comes_does_not_keep_the_others(tmp_path, settings, pages) -> None:
    scene = world(HANDLERS, [Fault(0, "lose", "d"), Fault(2.5, "add", "d")])
    go(tmp_path / "m", settings, scene, pages, quorum="100%")
    assert weights(pages) == ["abc"] * 4
    assert pages.of("round_started")[3]["absent"] == {"d": "not connected"}


def unfit_world(*faults: Fault) -> World:
    scene = world(THREE, faults)
    scene.sims["c"].unfit = ("12 samples, 30 are needed.",)
    return scene


def test_a_card_that_does_not_fit_keeps_the_run_waiting_until_it_is_waived(tmp_path, settings, pages) -> None:
    go(tmp_path / "m", settings, unfit_world(Fault(30.0, "waive", "c")), pages)
    assert pages.of("unfit") == [{"site": "c", "why": ["12 samples, 30 are needed."]}]
    assert pages.of("waived") == [{"site": "c", "reason": "a small hospital"}]
    assert pages.of("waiting")[0]["why"] == {"c": "its data does not fit: 12 samples, 30 are needed."}
    assert weights(pages) == ["abc"] * 4


def test_until_it_fits(tmp_path, settings, pages) -> None:
    scene = unfit_world(Fault(30.0, "mend", "c"))
    go(tmp_path / "m", settings, scene, pages)
    assert weights(pages) == ["abc"] * 4
    assert len(pages.of("card")) == 4
    assert times_of(scene, "c", "describe") == ["describe-0", "describe-0"]


def test_a_patient_run_looks_again_by_itself(tmp_path, settings, pages) -> None:
    scene = unfit_world()

    def mended(task: Any) -> Any:
        if task.kind == "describe" and scene.now > 100:
            scene.sims["c"].unfit = ()
        return THREE["c"](task)

    scene.sims["c"].handler = mended
    go(tmp_path / "m", settings, scene, pages, patient=True, join_deadline=1000.0)
    assert weights(pages) == ["abc"] * 4
    assert len(pages.of("unfit")) == 1


def test_until_it_is_removed(tmp_path, settings, pages) -> None:
    go(tmp_path / "m", settings, unfit_world(Fault(30.0, "remove", "c")), pages, quorum="60%")
    assert weights(pages) == ["ab"] * 4
    assert pages.of("left_out") == []


def test_at_the_join_deadline_the_run_goes_on_without_it_where_the_quorum_is_there(
    tmp_path, settings, pages
) -> None:
    go(tmp_path / "m", settings, unfit_world(), pages, quorum="2")
    why = {"c": "its data does not fit: 12 samples, 30 are needed."}
    assert pages.of("left_out") == [{"sites": why, "quorum": 2}]
    assert all(body["absent"] == why for body in pages.of("round_started"))


def test_or_stops_and_says_who_and_why(tmp_path, settings, pages) -> None:
    with pytest.raises(DataUnfit) as caught:
        go(tmp_path / "m", settings, unfit_world(), pages)
    assert caught.value.what == "2 of 3 sites can train; the quorum is 3."
    assert caught.value.where == "c: its data does not fit: 12 samples, 30 are needed."
    assert "waive" in caught.value.hint


def test_a_site_that_does_not_come_is_named_at_the_join_deadline(tmp_path, settings, pages) -> None:
    scene = world(THREE)
    scene.news = scene.news[:2]
    scene.sims["c"].here = False
    with pytest.raises(QuorumMissed) as caught:
        go(tmp_path / "m", settings, scene, pages)
    assert caught.value.where == "c: not connected"
    assert scene.now == pytest.approx(60, abs=2)


def fails_until(seconds: float, scene: World) -> Any:
    def handle(task: Any) -> Any:
        if scene.now < seconds:
            raise SiteDataFailed("There is no table.csv.")
        return THREE["b"](task)

    return handle


def test_a_patient_run_outlives_a_failure_before_round_1(tmp_path, settings, pages) -> None:
    scene, impatient = world(THREE), world(THREE)
    for each in (scene, impatient):
        each.sims["b"] = Sim(fails_until(90, each))
    go(tmp_path / "m", settings, scene, pages, patient=True, join_deadline=1000.0)
    assert weights(pages) == ["abc"] * 4
    assert [body["what"] for body in pages.of("failed")] == ["There is no table.csv."]
    with pytest.raises(SiteDataFailed, match=r"b: There is no table\.csv"):
        go(tmp_path / "n", settings, impatient, pages, join_deadline=1000.0)
    assert impatient.now < 10


@pytest.mark.parametrize(
    ("text", "members", "sites"),
    [("2", 5, 2), ("60%", 5, 3), ("60%", 3, 2), ("100%", 4, 4), ("1%", 3, 1), ("66.66666667%", 3, 2)],
)
def test_a_share_follows_the_members(text, members, sites) -> None:
    assert Quorum(text).of(members) == sites


@pytest.mark.parametrize("text", ["", "most", "0%", "101%", "nan%", "%", "1.5"])
def test_what_is_no_quorum_is_refused(text) -> None:
    with pytest.raises(SettingsInvalid, match="not a quorum"):
        Quorum(text)


def test_a_new_run_starts_from_an_old_model(tmp_path, settings, pages) -> None:
    old = go(tmp_path / "old", settings, world(THREE), pages, rounds=2)
    path = tmp_path / "old/last.safetensors"
    new = go(tmp_path / "new", settings, world(THREE), pages, rounds=1, initial=path)
    assert new.arrays(0)["w"].tobytes() == old.arrays(2)["w"].tobytes()
    body = pages.of("initialised")[-1]
    assert body["from"] == "last.safetensors"
    assert body["digest"].startswith("sha256:")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"w": np.ones(4, np.float32), "n": np.array(0)}, r"w float32\[4\] against w float32\[3\]"),
        ({"w": np.ones(3, np.float64), "n": np.array(0)}, "float64"),
        ({"w": np.ones(3, np.float32)}, "'n' is only in the notebook"),
        ({"w": np.ones(3, np.float32), "n": np.array(0), "x": np.ones(1)}, "'x' is only in the file"),
    ],
)
def test_another_model_is_no_start(tmp_path, settings, pages, arrays, words) -> None:
    write_arrays(tmp_path / "other.safetensors", arrays)
    with pytest.raises(SettingsInvalid, match=words):
        go(tmp_path / "m", settings, world(THREE), pages, initial=tmp_path / "other.safetensors")
    with pytest.raises(RunUnreadable):
        go(tmp_path / "m", settings, world(THREE), pages, initial=tmp_path / "absent.safetensors")
