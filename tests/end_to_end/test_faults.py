"""What happens when processes die, code breaks, data is bad or the machine is full."""

import os
import signal
import socket
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end
ROUNDS = ("--rounds", "3", "--epochs", "2", "--seed", "5")


def slow(notebook: Path, sites: list[str], *words: str) -> list[str]:
    return ["run", str(notebook), *sites, *ROUNDS, "--set", "pause=0.5", "--out", "run", *words]


def test_a_killed_site_comes_back_and_the_model_is_the_same(
    nbfed, slow_notebook, three_sites, undisturbed, digest_of
) -> None:
    run = nbfed.follow(*slow(slow_notebook, three_sites))
    run.until("received", site="b", round=2)
    run.kill("b")
    assert run.end() == 0
    assert run.of("round_finished")[1]["weights"] == {"a": 40, "b": 50, "c": 60}
    assert [event["source"] for event in run.events if event["event"] == "restarting"] == ["b"]
    assert digest_of(nbfed.folder / "run") == undisturbed


def test_a_site_that_stays_away_is_left_out_where_a_quorum_allows(nbfed, slow_notebook, three_sites) -> None:
    run = nbfed.follow(*slow(slow_notebook, three_sites, "--quorum", "2"))
    run.until("received", site="c", round=2)
    os.kill(run.pid("c"), signal.SIGSTOP)
    assert run.end() == 0
    weights = [sorted(event["weights"]) for event in run.of("round_finished")]
    assert weights == [["a", "b", "c"], ["a", "b"], ["a", "b"]]
    assert {event["site"] for event in run.of("dropped")} == {"c"}


def test_without_a_quorum_the_run_stops_at_its_deadline_and_says_who_is_missing(
    nbfed, slow_notebook, three_sites
) -> None:
    run = nbfed.follow(*slow(slow_notebook, three_sites, "--deadline", "25"))
    run.until("received", site="c", round=1)
    os.kill(run.pid("c"), signal.SIGSTOP)
    assert run.end() == 3
    stopped = run.of("stopped")[0]
    assert stopped["code"] == "NE301"
    assert "no reply from c" in stopped["where"]
    assert run.of("round_finished") == []
    assert run.of("waiting")[0]["sites"] == ["c"]


def test_a_killed_server_is_resumed_to_the_same_bits(
    nbfed, slow_notebook, three_sites, undisturbed, digest_of
) -> None:
    run = nbfed.follow(*slow(slow_notebook, three_sites))
    run.until("received", site="b", round=2)
    run.kill("server")
    assert run.end() == 1
    found = nbfed("run", "--resume", "run", "--progress", "lines")
    assert found.returncode == 0, found.stderr
    assert "continuing after round 1" in found.stderr
    assert digest_of(nbfed.folder / "run") == undisturbed
    assert nbfed.json("ledger", "verify", "run")["data"]["ledgers"][0]["entries"] > 20


def test_a_killed_command_leaves_no_process_and_can_be_resumed(
    nbfed, slow_notebook, three_sites, undisturbed, digest_of
) -> None:
    run = nbfed.follow(*slow(slow_notebook, three_sites))
    run.until("received", site="b", round=2)
    run.process.kill()
    run.end()
    assert nbfed("run", "--resume", "run").returncode == 0
    assert digest_of(nbfed.folder / "run") == undisturbed


def test_ctrl_c_ends_every_process_and_keeps_what_is_done(
    nbfed, slow_notebook, three_sites, undisturbed, digest_of
) -> None:
    run = nbfed.follow(*slow(slow_notebook, three_sites))
    run.until("received", site="b", round=2)
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 130
    report = nbfed("report", "run")
    assert report.returncode == 0, report.stderr
    ledger = nbfed.folder / "run" / "ledger.sqlite"
    ledger.rename(ledger.with_suffix(".kept"))
    assert "The run has not begun" in nbfed.json("report", "run", code=4)["message"]
    assert not ledger.exists()
    ledger.with_suffix(".kept").rename(ledger)
    assert nbfed("run", "--resume", "run").returncode == 0
    assert digest_of(nbfed.folder / "run") == undisturbed


def test_training_that_raises_reaches_the_author_as_cell_and_line(nbfed, slow_notebook, three_sites) -> None:
    found = nbfed("run", str(slow_notebook), *three_sites, *ROUNDS, "--set", "break_at=raise")
    assert found.returncode == 1
    assert "NE601" in found.stderr
    assert "ValueError" in found.stderr
    assert "notebook cell 5, line 11" in found.stderr
    assert 'raise ValueError("patient' in found.stderr


@pytest.mark.parametrize(
    ("how", "words"),
    [("nan", "NaN"), ("shape", "layers.3.weight"), ("more", "memory")],
)
def test_an_update_that_may_not_leave_is_refused_at_the_site(
    nbfed, slow_notebook, three_sites, how, words
) -> None:
    found = nbfed(
        "run", str(slow_notebook), *three_sites, *ROUNDS, "--set", f"break_at={how}", "--out", "run"
    )
    assert found.returncode == 1
    assert words in found.stderr
    receipts = (nbfed.folder / "run/sites/a/receipts.jsonl").read_text()
    assert '"event":"refused"' in receipts
    assert not (nbfed.folder / "run/models/round-0001.safetensors").exists()


def test_a_site_with_one_class_is_shown_before_round_1(nbfed, slow_notebook, make_site) -> None:
    sites = ["--site", f"a={make_site('a')}", "--site", f"b={make_site('b', one_class=True)}"]
    run = nbfed.follow("run", str(slow_notebook), *sites, *ROUNDS, "--out", "run")
    assert run.end() == 0
    kinds = [event["event"] for event in run.events]
    cards = {event["site"]: event["card"] for event in run.of("card")}
    assert kinds.index("round_started") > max(place for place, kind in enumerate(kinds) if kind == "card")
    assert any("one class" in warning for warning in cards["b"]["warnings"])
    assert cards["b"]["classes"]["train"] == {"0": 60}
    assert len(cards["a"]["classes"]["train"]) == 2
    assert "n/a" in (nbfed.folder / "run/report/report.md").read_text()


def test_a_site_without_data_is_named(nbfed, slow_notebook, make_site) -> None:
    sites = ["--site", f"a={make_site('a')}", "--site", f"b={make_site('b', count=0)}"]
    found = nbfed("run", str(slow_notebook), *sites, *ROUNDS)
    assert found.returncode == 1
    assert "b: " in found.stderr


def test_a_taken_port(nbfed, slow_notebook, three_sites) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        envelope = nbfed.json("run", str(slow_notebook), *three_sites, *ROUNDS, "--port", port, code=2)
    assert envelope["error_code"] == "NE201"
    assert port in envelope["message"]


def test_a_second_run_in_the_same_folder_loses_nothing(
    nbfed, slow_notebook, three_sites, undisturbed, digest_of, workshop
) -> None:
    words = ["run", str(slow_notebook), *three_sites, *ROUNDS, "--out", str(workshop / "undisturbed")]
    assert nbfed.json(*words, code=4)["error_code"] == "NE404"
    assert digest_of(workshop / "undisturbed") == undisturbed


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["run", "absent.ipynb", "--sites", "2"], 4, "NE401"),
        (["run", "slow.ipynb"], 4, "NE403"),
        (["run", "slow.ipynb", "--site", "A=data"], 4, "NE403"),
        (["run", "slow.ipynb", "--site", "a=absent"], 4, "NE403"),
        (["run", "slow.ipynb", "--sites", "2", "--quorum", "3"], 4, "NE403"),
        (["run", "slow.ipynb", "--sites", "2", "--strategy", "best"], 4, "NE403"),
        (["run", "slow.ipynb", "--sites", "2", "--set", "nonsense=1"], 4, "NE403"),
        (["run", "--resume", "absent"], 4, "NE404"),
        (["report", "absent"], 4, "NE404"),
    ],
)
def test_bad_input_says_what_and_what_next(nbfed, slow_notebook, words, code, what) -> None:
    (nbfed.folder / "slow.ipynb").write_bytes(slow_notebook.read_bytes())
    envelope = nbfed.json(*words, code=code)
    assert envelope["error_code"] == what
    assert envelope["message"]
    assert envelope["hint"]
