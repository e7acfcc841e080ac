"""Sites that are slow: dropped, waited for, or taken later with less weight; and deadlines from canaries."""

import numpy as np
import pytest
from nbfed_site.contracts import QuorumMissed
from notebook_federator.aggregation import make_strategy
from notebook_federator.rounds.deadlines import deadline_of

from .faulty import Fault, world
from .test_fault_sequences import HANDLERS, go
from .test_standing_orders import THREE, times_of, weights

SLOW = [Fault(2.5, "slow", "c")]  # 40 s a task instead of 1, from round 2 on


def test_a_straggler_is_dropped_at_the_deadline(tmp_path, settings, pages) -> None:
    go(tmp_path / "m", settings, world(THREE, SLOW), pages, quorum="2")
    assert weights(pages) == ["abc", "ab", "ab", "ab"]
    assert {body["reason"] for body in pages.of("dropped") if body["task"] == "train"} == {
        "no reply before the deadline"
    }


def test_or_waited_for(tmp_path, settings, pages) -> None:
    go(tmp_path / "m", settings, world(THREE, SLOW), pages, quorum="2", stragglers="wait")
    assert weights(pages) == ["abc"] * 4
    assert [round(body["seconds"]) for body in pages.of("round_finished")] == [1, 40, 40, 40]


def test_but_not_when_it_is_lost_for_longer_than_the_deadline(tmp_path, settings, pages) -> None:
    scene = world(THREE, [Fault(3.2, "lose", "c"), Fault(10.0, "back", "c"), Fault(10.5, "lose", "c")])
    go(tmp_path / "m", settings, scene, pages, quorum="2", stragglers="wait")
    assert weights(pages) == ["abc", "abc", "ab", "ab"]
    assert pages.of("dropped")[0]["reason"] == "not connected"


def test_or_joins_a_later_round_with_less_weight(tmp_path, settings, pages) -> None:
    scene = world(THREE, [Fault(2.5, "slow", "c"), Fault(3.5, "hasten", "c")])
    scene.faults += [Fault(32.0, "slow", "a")]
    chosen = {"quorum": "1", "stragglers": "late", "deadline": 30.0, "rounds": 3}
    store = go(tmp_path / "m", settings, scene, pages, **chosen)
    finished = pages.of("round_finished")
    assert weights(pages) == ["abc", "ab", "b"]
    assert [body["late"] for body in finished] == [{}, {}, {"c": 15.0}]
    assert times_of(scene, "c", "train") == ["train-1", "train-2"]
    update = next(body for body in pages.of("update") if body["late"])
    assert (update["site"], update["round"], update["late"], update["num_examples"]) == ("c", 3, 1, 30)
    assert "may join a later round" in pages.of("dropped")[0]["reason"]
    assert np.isfinite(store.arrays(3)["w"]).all()


def test_a_late_update_counts_as_its_weight_says() -> None:
    average = make_strategy({"name": "fedavg"})
    average.begin({"w": np.zeros(1)})
    average.add({"w": np.array([1.0])}, 10)
    average.add({"w": np.array([4.0])}, 30 / (1 + 2))
    assert average.finish()["w"] == pytest.approx(2.5)


def test_late_updates_make_no_quorum(tmp_path, settings, pages) -> None:
    scene = world(THREE, [*SLOW, Fault(2.6, "slow", "b")])
    with pytest.raises(QuorumMissed, match=r"1 of . sites replied"):
        go(tmp_path / "m", settings, scene, pages, quorum="2", stragglers="late")
    assert weights(pages) == ["abc"]


def test_the_deadline_comes_from_canaries(tmp_path, settings, pages) -> None:
    scene = world(HANDLERS, [Fault(3.6, "add", "d"), Fault(4.7, "slow", "d"), Fault(10.0, "hasten", "d")])
    go(tmp_path / "m", settings, scene, pages, deadline=None, join_deadline=200.0, rounds=60)
    told = {body["site"]: body["estimate"] for body in pages.of("canary")}
    assert told == {"a": 4.5, "b": 4.5, "c": 4.5, "d": 43.5}
    assert [body["seconds"] for body in pages.of("deadline")] == [73.5, 190.5]
    assert pages.of("deadline")[1]["from"] == told
    started = pages.of("round_started")
    assert (started[0]["deadline"], started[-1]["deadline"]) == (73.5, 190.5)
    assert started[-1]["sites"] == list("abcd")


def test_a_site_without_a_canary_is_left_out_at_the_join_deadline(tmp_path, settings, pages) -> None:
    scene = world(THREE, [Fault(1.5, "lose", "c")])
    go(tmp_path / "m", settings, scene, pages, deadline=None, quorum="2")
    assert pages.of("left_out") == [{"sites": {"c": "not connected"}, "quorum": 2}]
    assert weights(pages) == ["ab"] * 4


def test_a_resumed_run_knows_the_canaries_of_before(tmp_path, settings, pages) -> None:
    go(tmp_path / "m", settings, world(THREE, []), pages, deadline=None, rounds=2)
    assert [body["site"] for body in pages.of("canary")] == ["a", "b", "c"]
    go(tmp_path / "m", settings, world(THREE, []), pages, deadline=None, rounds=4)
    assert len(pages.of("canary")) == 3
    first, second = pages.of("deadline")
    assert first == second
    assert [body["round"] for body in pages.of("round_finished")] == [1, 2, 3, 4]


def test_the_deadline_leaves_room_for_a_bad_day() -> None:
    assert deadline_of({"a": 120.0, "b": 210.0}) == 3 * 210 + 60
