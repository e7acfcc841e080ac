"""What is shown of a run, from the events of a real one."""

import io
import json
from pathlib import Path

from notebook_federator.progress import LiveProgress, RunView, site_table
from rich.console import Console

EVENTS = [json.loads(line) for line in (Path(__file__).parent / "events.jsonl").read_text().splitlines()]


def test_each_sentence_of_a_run() -> None:
    view = RunView()
    sentences = [sentence for event in EVENTS if (sentence := view.see(event))]
    assert sentences[0].startswith("breast-cancer.ipynb: 3 sites, 3 rounds of 10 epochs, fedavg, quorum 2")
    card = "site-1: train 57 (0: 36, 1: 21), validation 19 (0: 12, 1: 7), test 114 (0: 72, 1: 42)"
    assert card in sentences
    assert [line for line in sentences if "finished in" in line][-1].startswith("round 3 of 3 finished")
    assert sentences[-1] == "finished 3 rounds; best round 2"
    assert {site.state for site in view.sites.values()} == {"done"}


def test_the_live_table_follows_rounds_and_epochs() -> None:
    view = RunView()
    states = []
    for event in EVENTS:
        view.see(event)
        if event["event"] == "progress" and event["phase"] == "train":
            states.append((view.round, view.sites[event["source"]].epoch))
    assert (1, 10) in states
    assert (3, 10) in states
    out = io.StringIO()
    Console(file=out, width=120).print(site_table(view))
    shown = out.getvalue()
    assert "site-2" in shown
    assert "accuracy 0.9" in shown


def test_without_a_terminal_it_prints_plain_lines() -> None:
    out = io.StringIO()
    with LiveProgress(Console(file=out, width=80)) as show:
        for event in EVENTS:
            show(event)
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("\n") == len([event for event in EVENTS if RunView().see(event)])
