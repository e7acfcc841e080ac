"""What a site has signed is compared with what was sent to it and with what came of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nbfed_site.contracts import Receipt, RoundInput, RoundOutput, UpdateRefused
from nbfed_site.keys import generate_key, private_key, sign
from nbfed_site.receipts import Receipts, is_sound
from notebook_federator.aggregation import make_strategy
from notebook_federator.rounds.loop import Run
from notebook_federator.rounds.orders import Orders
from notebook_federator.rounds.signed import newest_receipts
from notebook_federator.rounds.store import ModelStore

from .conftest import Handler, Pages
from .faulty import World, world
from .test_fault_sequences import HANDLERS
from .test_standing_orders import weights

Change = Callable[[RoundOutput], RoundOutput]


class Signing:
    """A toy site that signs what it receives and releases, as a real one does; then ``change`` tampers."""

    def __init__(self, folder: Path, handler: Handler, change: Change = lambda output: output) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.handler, self.change = handler, change
        self.public = generate_key(folder / "key.pem").decode()
        key = private_key(folder / "key.pem")
        self.chain = Receipts(folder / "receipts.jsonl", sign=lambda text: sign(key, text.encode()))

    def __call__(self, task: RoundInput) -> RoundOutput:
        came = self.chain.record("received", task, task.arrays, {})
        output = self.handler(task)
        left = self.chain.record("released", task, output.arrays, {"examples": output.num_examples})
        return self.change(replace(output, receipts=(came, left)))


def run(folder: Path, settings: Any, sites: dict[str, Any], pages: Pages, **changes: Any) -> World:
    scene = world(sites)
    keys = {name: site.public for name, site in sites.items() if isinstance(site, Signing)}
    scene.orders = Orders(("a", "b", "c"), keys=keys)
    known = changes.pop("known", {})
    chosen = settings(**{"quorum": 2, "signed": True, "deadline": 20.0, **changes})
    store = ModelStore(folder)
    folder.mkdir(exist_ok=True)
    Run(chosen, scene, make_strategy({"name": "fedavg"}), store, pages, scene.clock, scene.ask, known).go()
    return scene


def sites_with(folder: Path, change: Change = lambda output: output) -> dict[str, Any]:
    sites: dict[str, Any] = {name: Signing(folder / name, HANDLERS[name]) for name in "ac"}
    return {**sites, "b": Signing(folder / "b", HANDLERS["b"], change)}


def in_training(change: Change) -> Change:
    return lambda output: change(output) if output.kind == "train" else output


def test_honest_receipts_are_kept_in_the_record(tmp_path, settings, pages) -> None:
    sites = sites_with(tmp_path)
    sites["a"].chain.note("approved", {"slice": "sha256:00"})
    run(tmp_path / "m", settings, sites, pages)
    assert weights(pages) == ["abc"] * 4
    kept = [body["receipts"] for kind, body in pages.facts if kind in ("card", "update", "evaluated")]
    assert len(kept) == 3 * (1 + 4 + 1)
    assert all([item["event"] for item in pair] == ["received", "released"] for pair in kept)
    update = next(body for body in pages.of("update") if body["site"] == "a")
    assert Receipt(**update["receipts"][1]).kind == "train"


def other_arrays(output: RoundOutput) -> RoundOutput:
    assert output.arrays is not None
    return replace(output, arrays={**output.arrays, "w": output.arrays["w"] + np.float32(1)})


def edited(index: int, **fields: Any) -> Change:
    def change(output: RoundOutput) -> RoundOutput:
        receipts = list(output.receipts)
        receipts[index] = replace(receipts[index], **fields)
        return replace(output, receipts=tuple(receipts))

    return change


def again() -> Change:
    """The receipts of the first round, for ever."""
    first: list[tuple[Receipt, ...]] = []

    def change(output: RoundOutput) -> RoundOutput:
        first.append(output.receipts)
        return replace(output, receipts=first[0])

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_arrays, "other arrays arrived than the site released"),
        (lambda output: replace(output, receipts=()), "it holds no receipts"),
        (
            lambda output: replace(output, receipts=output.receipts[1:]),
            "do not say that the task was",
        ),
        (edited(0, arrays_digest="sha256:00"), "not signed with this site's key"),
        (edited(1, signature=""), "not signed with this site's key"),
        (edited(1, sequence=1000), "not signed with this site's key"),
    ],
)
def test_what_receipts_do_not_bear_out_is_refused(tmp_path, settings, pages, change, words) -> None:
    run(tmp_path / "m", settings, sites_with(tmp_path, in_training(change)), pages)
    assert weights(pages) == ["ac"] * 4
    assert {body["site"] for body in pages.of("failed")} == {"b"}
    assert all(body["code"] == UpdateRefused.code and words in body["what"] for body in pages.of("failed"))
    assert all(body["arrived"].startswith("sha256:") for body in pages.of("failed"))


def test_what_was_refused_is_in_the_record_with_what_its_site_signed(tmp_path, settings, pages) -> None:
    def few(output: RoundOutput) -> RoundOutput:
        return replace(output, num_examples=3)

    sites = sites_with(tmp_path, in_training(few))
    run(tmp_path / "m", settings, sites, pages, rounds=2)
    failed = pages.of("failed")
    assert [(body["site"], body["round"]) for body in failed] == [("b", 1), ("b", 2)]
    assert all("rests on 3 samples" in body["what"] for body in failed)
    for body in failed:
        came, left = (Receipt(**value) for value in body["receipts"])
        assert is_sound(left, sites["b"].public.encode())
        assert (came.event, left.event, body["arrived"]) == ("received", "released", left.arrays_digest)


def test_receipts_that_were_refused_do_not_count_after_a_restart(tmp_path, settings, pages) -> None:
    run(tmp_path / "m", settings, sites_with(tmp_path, in_training(edited(1, signature=""))), pages)
    known = newest_receipts(pages.facts)
    assert known["b"].kind != "train"
    assert known["b"].signature


def test_receipts_of_an_older_answer_are_refused(tmp_path, settings, pages) -> None:
    run(tmp_path / "m", settings, sites_with(tmp_path, in_training(again())), pages)
    assert weights(pages) == ["abc", "ac", "ac", "ac"]
    what = pages.of("failed")[0]["what"]
    assert "about another task" in what
    assert "comes after receipt" in what


def test_another_model_than_was_sent_is_noticed(tmp_path, settings, pages) -> None:
    def on_another_model(task: RoundInput) -> RoundOutput:
        return honest(replace(task, arrays={**task.arrays, "w": np.zeros(3, np.float32)}))

    sites = sites_with(tmp_path)
    honest = sites["b"]
    scene_sites = {
        **sites,
        "b": lambda task: on_another_model(task) if task.kind == "train" else honest(task),
    }
    scene = world(scene_sites)
    scene.orders = Orders(("a", "b", "c"), keys={name: site.public for name, site in sites.items()})
    store = ModelStore(tmp_path / "m")
    store.folder.mkdir()
    average = make_strategy({"name": "fedavg"})
    Run(settings(quorum=2, signed=True), scene, average, store, pages, scene.clock, scene.ask).go()
    assert "received another model than was sent" in pages.of("failed")[0]["what"]
    assert weights(pages) == ["ac"] * 4


def test_arrays_that_were_rounded_on_their_way_are_not_compared(tmp_path, settings, pages) -> None:
    run(tmp_path / "m", settings, sites_with(tmp_path, in_training(other_arrays)), pages, wire="bf16")
    assert weights(pages) == ["abc"] * 4


def test_where_no_key_is_known_nothing_is_demanded(tmp_path, settings, pages) -> None:
    run(tmp_path / "m", settings, {**sites_with(tmp_path), "b": HANDLERS["b"]}, pages)
    assert weights(pages) == ["abc"] * 4


def test_a_run_that_is_resumed_knows_the_receipts_of_before(tmp_path, settings, pages) -> None:
    sites = sites_with(tmp_path)
    run(tmp_path / "m", settings, sites, pages, rounds=2)
    known = newest_receipts(pages.facts)
    assert {name: site.chain._last for name, site in sites.items()} == known
    run(tmp_path / "m", settings, sites, pages, known=known)
    assert weights(pages) == ["abc"] * 4
    forked = Receipts(tmp_path / "forked.jsonl", sign=sites["b"].chain._sign)
    forked.note("approved", {})
    sites["b"].chain = forked
    pages.facts.clear()
    run(tmp_path / "m", settings, sites, pages, known=known, rounds=5)
    assert weights(pages) == ["ac"]
    assert "comes after receipt" in pages.of("failed")[0]["what"]


def test_a_site_that_joined_anew_begins_a_record_of_its_own(tmp_path, settings, pages) -> None:
    sites = sites_with(tmp_path)
    run(tmp_path / "m", settings, sites, pages, rounds=2)
    known = newest_receipts(pages.facts)
    sites["b"] = Signing(tmp_path / "b2", HANDLERS["b"])
    run(tmp_path / "m", settings, sites, pages, known=known)
    assert weights(pages) == ["abc"] * 4
