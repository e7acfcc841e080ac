"""The round loop: who takes part, what is kept, what stops it, and that resuming changes nothing."""

import json
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nbfed_site.contracts import (
    ArraySpec,
    Evaluation,
    QuorumMissed,
    RoundInput,
    RoundOutput,
    SettingsInvalid,
    SiteCard,
    SiteCodeFailed,
    SiteFailure,
    StorageFull,
    VersionSkew,
)
from notebook_federator.aggregation import make_strategy
from notebook_federator.rounds.checkpoints import StoredArrays
from notebook_federator.rounds.loop import Run
from notebook_federator.rounds.memory import MemoryTransport
from notebook_federator.rounds.orders import Orders
from notebook_federator.rounds.port import Event, Failed, Joined, Lost, Replied
from notebook_federator.rounds.settings import RoundSettings
from notebook_federator.rounds.store import ModelStore

STRATEGIES = ["fedavg", "fedadam", "fedyogi", "fedavgm", "trimmed_mean", "median"]


def go(
    folder: Path, settings: RoundSettings, transport: Any, pages: Any, strategy: str = "fedavg"
) -> ModelStore:
    store = ModelStore(folder)
    folder.mkdir(exist_ok=True)
    orders = Orders(settings.sites)
    made = make_strategy({"name": strategy})
    Run(settings, transport, made, store, pages, time.monotonic, lambda: orders).go()
    return store


def test_a_round_is_the_mean_weighted_by_examples(tmp_path, settings, toy_sites, pages) -> None:
    go(tmp_path / "m", settings(rounds=1), MemoryTransport(toy_sites), pages)
    start = RoundInput("t", "train", 1, StoredArrays(tmp_path / "m/round-0000.safetensors"),
                       {"seed": 7, "evaluate": False})  # fmt: skip
    updates = [(handler(start).arrays, handler(start).num_examples) for handler in toy_sites.values()]
    expected = sum(arrays["w"].astype(np.float64) * n for arrays, n in updates) / 60
    found = StoredArrays(tmp_path / "m/last.safetensors")
    np.testing.assert_allclose(found["w"], expected, rtol=1e-6)
    assert list(found) == ["w", "n"]
    assert found["n"] == 1


def test_every_round_says_who_took_part_with_which_weight(tmp_path, settings, toy_sites, pages) -> None:
    go(tmp_path / "m", settings(), MemoryTransport(toy_sites), pages)
    rounds = pages.of("round_finished")
    assert [item["round"] for item in rounds] == [1, 2, 3, 4]
    assert all(item["weights"] == {"a": 10, "b": 20, "c": 30} for item in rounds)
    models = [(item["model"], item["site"]) for item in pages.of("evaluation")]
    assert models == [(f"round-{number}", site) for number in range(5) for site in "abc"]
    assert pages.of("finished")[0]["best"] == ModelStore(tmp_path / "m").best_round


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_stopped_after_any_round_resumes_to_the_same_bits(
    tmp_path, settings, toy_sites, pages, strategy
) -> None:
    whole = go(tmp_path / "whole", settings(), MemoryTransport(toy_sites), pages, strategy)
    for stop in range(1, 4):
        folder = tmp_path / f"stopped-{stop}"
        go(folder, settings(rounds=stop), MemoryTransport(toy_sites), pages, strategy)
        resumed = go(folder, settings(), MemoryTransport(toy_sites), pages, strategy)
        for name in ("w", "n"):
            assert resumed.arrays(4)[name].tobytes() == whole.arrays(4)[name].tobytes()


class Shuffled(MemoryTransport):
    """Replies arrive in the opposite order of sending."""

    def events(self, timeout: float) -> Iterator[Event]:
        self.queue = deque(reversed(self.queue))
        yield from super().events(timeout)


def test_the_order_of_arrival_does_not_matter(tmp_path, settings, toy_sites, pages) -> None:
    one = go(tmp_path / "one", settings(), MemoryTransport(toy_sites), pages)
    other = go(tmp_path / "other", settings(), Shuffled(toy_sites), pages)
    assert one.arrays(4)["w"].tobytes() == other.arrays(4)["w"].tobytes()


class Losing(MemoryTransport):
    """Site ``gone`` is lost in ``at`` round and comes back after ``back`` further looks, or never."""

    gone, at, back = "c", 2, 10**9

    def events(self, timeout: float) -> Iterator[Event]:
        for event in super().events(0.001):
            if isinstance(event, Replied) and (event.site, event.output.round) == (self.gone, self.at):
                self.at = -1
                yield Lost(self.gone)
            else:
                yield event
        if self.at == -1:
            self.back -= 1
            if self.back == 0:
                yield Joined(self.gone, "2")


def test_a_lost_site_does_not_stop_a_quorum(tmp_path, settings, toy_sites, pages) -> None:
    transport = Losing(toy_sites)
    go(tmp_path / "m", settings(quorum=2), transport, pages)
    rounds = pages.of("round_finished")
    assert [sorted(item["weights"]) for item in rounds] == [list("abc"), ["a", "b"], ["a", "b"], ["a", "b"]]
    assert pages.of("dropped")[0] == {"site": "c", "round": 2, "task": "train", "reason": "not connected"}
    assert pages.of("lost") == [{"site": "c"}]


def test_a_lost_site_that_returns_does_its_round_again(tmp_path, settings, toy_sites, pages) -> None:
    transport = Losing(toy_sites)
    transport.back = 3
    store = go(tmp_path / "m", settings(), transport, pages)
    undisturbed = go(tmp_path / "u", settings(), MemoryTransport(toy_sites), pages)
    assert store.arrays(4)["w"].tobytes() == undisturbed.arrays(4)["w"].tobytes()
    assert {"site": "c", "again": True} in pages.of("joined")


def test_without_a_quorum_the_round_waits_and_then_says_so(tmp_path, settings, toy_sites, pages) -> None:
    with pytest.raises(QuorumMissed) as caught:
        go(tmp_path / "m", settings(deadline=0.3), Losing(toy_sites), pages)
    assert "2 of 3 sites replied" in caught.value.what
    assert "round 2" in caught.value.where
    assert "c" in caught.value.where
    assert pages.of("waiting")[0]["sites"] == ["c"]
    assert ModelStore(tmp_path / "m").last_round == 1


def test_a_site_that_is_turned_away_is_named_at_once(tmp_path, settings, toy_sites, pages) -> None:
    transport = MemoryTransport({name: toy_sites[name] for name in "ab"})
    skew = SiteFailure("NE202", "This site runs 0.2, but the server runs 0.1.", hint="Use one image.")
    transport.news.append(Failed("c", "", skew))
    with pytest.raises(VersionSkew, match="c: This site runs") as caught:
        go(tmp_path / "m", settings(), transport, pages)
    assert caught.value.hint == "Use one image."
    assert pages.of("failed")[0]["site"] == "c"


def raising(task: RoundInput) -> RoundOutput:
    raise SiteCodeFailed("ZeroDivisionError in train", where="notebook cell 7, line 3")


def failing_in_training(handler: Any) -> Any:
    return lambda task: raising(task) if task.kind == "train" else handler(task)


def test_a_site_that_raises_ends_a_run_that_needs_it(tmp_path, settings, toy_sites, pages) -> None:
    toy_sites["b"] = failing_in_training(toy_sites["b"])
    with pytest.raises(SiteCodeFailed) as caught:
        go(tmp_path / "m", settings(), MemoryTransport(toy_sites), pages)
    assert caught.value.what.startswith("b: ZeroDivisionError")
    assert caught.value.where == "notebook cell 7, line 3"
    assert pages.of("round_finished") == []


def test_a_site_that_raises_is_left_out_where_a_quorum_allows(tmp_path, settings, toy_sites, pages) -> None:
    toy_sites["b"] = failing_in_training(toy_sites["b"])
    go(tmp_path / "m", settings(quorum=2), MemoryTransport(toy_sites), pages)
    assert all(sorted(item["weights"]) == ["a", "c"] for item in pages.of("round_finished"))
    assert [item["round"] for item in pages.of("failed")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: {**arrays, "w": np.array([1, np.nan, 1], np.float32)}, "NaN or infinite"),
        (lambda arrays: {**arrays, "w": np.array([1, np.inf, 1], np.float32)}, "NaN or infinite"),
        (lambda arrays: {**arrays, "w": np.ones(4, np.float32)}, r"float32\[4\]; only float32\[3\]"),
        (lambda arrays: {**arrays, "w": np.ones(3, np.float64)}, "float64"),
        (lambda arrays: {**arrays, "patients": np.ones(9)}, "patients"),
        (lambda arrays: {"w": arrays["w"]}, "not the model's: 'n'"),
        (lambda arrays: dict(reversed(arrays.items())), "in another order"),
    ],
)
def test_an_update_that_does_not_fit_is_refused_by_the_server_too(
    tmp_path, settings, toy_sites, pages, change, message
) -> None:
    honest = toy_sites["b"]

    def tampered(task: RoundInput) -> RoundOutput:
        output = honest(task)
        return replace(output, arrays=change(output.arrays)) if task.kind == "train" else output

    toy_sites["b"] = tampered
    go(tmp_path / "m", settings(quorum=2), MemoryTransport(toy_sites), pages)
    assert all(sorted(item["weights"]) == ["a", "c"] for item in pages.of("round_finished"))
    assert {item["code"] for item in pages.of("failed")} == {"NE605"}
    assert re.search(message, pages.of("failed")[0]["what"])


@pytest.mark.parametrize(
    "change",
    [
        lambda output: replace(output, seconds={"train": 1e300}),
        lambda output: replace(output, evaluation=Evaluation(1 << 53, {"loss": 1e308})),
    ],
)
def test_numbers_beyond_reason_do_not_end_the_run(tmp_path, settings, toy_sites, pages, change) -> None:
    honest = toy_sites["b"]

    def tampered(task: RoundInput) -> RoundOutput:
        output = honest(task)
        return change(output) if task.kind == "train" else output

    toy_sites["b"] = tampered
    store = go(tmp_path / "m", settings(quorum=2), MemoryTransport(toy_sites), pages)
    assert len(pages.of("finished")) == 1
    assert store.last_round == settings(quorum=2).rounds
    for _, body in pages.facts:
        json.dumps(body, allow_nan=False, default=str)


def test_sites_with_different_models_are_refused(tmp_path, settings, toy_sites, pages) -> None:
    specs = (ArraySpec("w", (4,), "float32"),)
    toy_sites["b"] = lambda task: RoundOutput(task.task_id, task.kind, 0, card=SiteCard({}, {}, {}, specs))
    with pytest.raises(SettingsInvalid, match="different models") as caught:
        go(tmp_path / "m", settings(), MemoryTransport(toy_sites), pages)
    assert "w float32[3] against w float32[4]" in caught.value.what


def test_alone_models_are_trained_for_all_epochs_and_judged_everywhere(
    tmp_path, settings, toy_sites, pages
) -> None:
    asked: list[int] = []

    def noting(task: RoundInput) -> RoundOutput:
        if task.task_id == "train-0-alone":
            asked.append(int(task.config["epochs"]))
        return toy_sites["a"](task)

    store = go(
        tmp_path / "m",
        settings(alone=True, rounds=3, epochs=2),
        MemoryTransport({**toy_sites, "a": noting}),
        pages,
    )
    assert asked == [6]
    assert all(store.has_alone(site) for site in "abc")
    judged = {(item["model"], item["site"]) for item in pages.of("evaluation") if "alone" in item["model"]}
    assert judged == {(f"alone-{model}", site) for model in "abc" for site in "abc"}


def test_a_share_of_the_sites_is_drawn_the_same_way_each_time(tmp_path, settings, toy_sites, pages) -> None:
    chosen = []
    for name in ("one", "two"):
        pages.facts.clear()
        share = settings(fraction=0.5, quorum=2, rounds=6)
        go(tmp_path / name, share, MemoryTransport(toy_sites), pages)
        chosen.append([item["sites"] for item in pages.of("round_started")])
    assert chosen[0] == chosen[1]
    assert all(len(sites) == 2 for sites in chosen[0])
    assert len({tuple(sites) for sites in chosen[0]}) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quorum": 4}, "quorum of 4 can never be reached"),
        ({"quorum": 0}, "quorum of 0"),
        ({"fraction": 0.3, "quorum": 2}, "1 of 3 sites"),
        ({"rounds": 0}, "0 rounds"),
        ({"epochs": 0}, "0 epochs"),
        ({"sites": ()}, "at least one site"),
        ({"deadline": 0.0}, "Deadlines"),
    ],
)
def test_a_run_that_can_never_train_is_refused_up_front(settings, change, message) -> None:
    with pytest.raises(SettingsInvalid, match=message):
        settings(**change)


def test_a_full_disk_keeps_the_round_before(tmp_path, settings, toy_sites, pages, monkeypatch) -> None:
    go(tmp_path / "m", settings(rounds=2), MemoryTransport(toy_sites), pages)
    before = ModelStore(tmp_path / "m").arrays(2)["w"].tobytes()
    tmp = tmp_path / "m" / "round-0003.part"
    tmp.mkdir()
    with pytest.raises((StorageFull, IsADirectoryError, PermissionError)):
        go(tmp_path / "m", settings(), MemoryTransport(toy_sites), pages)
    tmp.rmdir()
    assert ModelStore(tmp_path / "m").last_round == 2
    store = go(tmp_path / "m", settings(), MemoryTransport(toy_sites), pages)
    whole = go(tmp_path / "w", settings(), MemoryTransport(toy_sites), pages)
    assert before != store.arrays(4)["w"].tobytes() == whole.arrays(4)["w"].tobytes()


def test_only_the_first_the_last_and_the_best_are_kept(tmp_path, settings, toy_sites, pages) -> None:
    store = go(tmp_path / "m", settings(rounds=8), MemoryTransport(toy_sites), pages)
    rounds = {path.name for path in (tmp_path / "m").glob("round-*")}
    assert rounds == {f"round-{number:04d}.safetensors" for number in {0, 8, store.best_round}}
    assert (tmp_path / "m/best.safetensors").read_bytes() == (
        tmp_path / f"m/round-{store.best_round:04d}.safetensors"
    ).read_bytes()
