"""Deadlines from canaries, stragglers that join later, an older model to start from, with real processes."""

import os
import signal

import pytest

from .conftest import ROUNDS

pytestmark = pytest.mark.end_to_end


def test_canary_rounds_give_a_deadline_and_leave_no_trace_in_the_model(
    nbfed, slow_notebook, three_sites, undisturbed, digest_of
) -> None:
    words = ["run", str(slow_notebook), *three_sites, *ROUNDS, "--deadline", "auto", "--out", "run"]
    run = nbfed.follow(*words)
    assert run.end() == 0
    assert {event["site"] for event in run.of("canary")} == set("abc")
    deadline = run.of("deadline")[0]
    assert deadline["seconds"] == pytest.approx(60 + 3 * max(deadline["from"].values()), abs=0.1)
    assert {event["deadline"] for event in run.of("round_started")} == {deadline["seconds"]}
    assert digest_of(nbfed.folder / "run") == undisturbed
    for kind in ("card", "canary", "update", "evaluated"):
        assert all(len(event["receipts"]) == 2 for event in run.of(kind))


def test_a_frozen_site_is_waited_for_and_the_model_is_the_same(
    nbfed, slow_notebook, three_sites, undisturbed, digest_of
) -> None:
    words = [*ROUNDS, "--set", "pause=0.5", "--stragglers", "wait", "--quorum", "2", "--out", "run"]
    run = nbfed.follow("run", str(slow_notebook), *three_sites, *words)
    run.until("received", site="c", round=2)
    os.kill(run.pid("c"), signal.SIGSTOP)
    run.until("lost", site="c")
    os.kill(run.pid("c"), signal.SIGCONT)
    assert run.end() == 0
    assert digest_of(nbfed.folder / "run") == undisturbed


def test_a_late_update_joins_a_later_round(nbfed, slow_notebook, three_sites) -> None:
    words = ["--rounds", "8", "--epochs", "2", "--set", "pause=2", "--quorum", "2"]
    words += ["--stragglers", "late", "--out", "run"]
    run = nbfed.follow("run", str(slow_notebook), *three_sites, *words)
    run.until("received", site="c", round=2)
    os.kill(run.pid("c"), signal.SIGSTOP)
    run.until("dropped", site="c")
    os.kill(run.pid("c"), signal.SIGCONT)
    assert run.end() == 0
    late = [event for event in run.of("update") if event["late"]]
    assert [(event["site"], event["late"] >= 1) for event in late] == [("c", True)]
    joined = next(event for event in run.of("round_finished") if event["late"])
    assert joined["late"] == {"c": 60 / (1 + late[0]["late"])}
    assert "took part late" in (nbfed.folder / "run/report/report.html").read_text()


def test_a_run_starts_from_an_older_model(nbfed, slow_notebook, three_sites, workshop, undisturbed) -> None:
    old = workshop / "undisturbed/models/last.safetensors"
    words = ["run", str(slow_notebook), *three_sites, *ROUNDS[:1], "1", *ROUNDS[2:]]
    run = nbfed.follow(*words, "--from", str(old), "--out", "run")
    assert run.end() == 0
    assert run.of("initialised")[0]["from"] == "last.safetensors"
    assert (nbfed.folder / "run/models/round-0000.safetensors").read_bytes() == old.read_bytes()
