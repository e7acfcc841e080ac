"""``healthy`` and what ``up`` takes: flags, environment, and one folder to write."""

import getpass
import os
import tempfile
import time
from pathlib import Path

import pytest
from nbfed_site.contracts import BadInput, SiteState, TaskRefused
from nbfed_site.events import Narrator, Standing
from nbfed_site.program import Program
from nbfed_site.scratch import Health, Scratch, ailment


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["up"], {}, "There is no kit"),
        (["approve"], {}, "There is no kit"),
        (["up"], {"share": "one"}, "invalid share value"),
        (["up"], {"min_examples": "few"}, "invalid int value"),
        (["up", "--set", "speed"], {}, "not NAME=VALUE"),
        (["up", "--slice", "/nowhere"], {}, "slice cannot be read"),
        (["up", "--server", "https://a:1"], {}, "Unrecognized arguments"),
        (["up", "--allow"], {}, "Unrecognized arguments"),  # no half words
        (["down"], {}, "invalid choice"),
        ([], {}, "required: command"),
    ],
)
def test_what_is_missing_or_wrong_is_said(site, capfd, words, variables, said) -> None:
    assert site(*words, **variables) == 4
    assert said in capfd.readouterr().err


def test_everything_is_written_below_scratch(tmp_path: Path, site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", "/somewhere/else")
    monkeypatch.setenv("HOME", "/nowhere")
    scratch = tmp_path / "own"
    Scratch(scratch).confine()
    assert tempfile.gettempdir() == str(scratch / "tmp")
    assert Path("~").expanduser() == Path.cwd() == scratch / "home"
    assert "TORCH_HOME" not in os.environ
    monkeypatch.setattr(os, "getuid", lambda: 61_713)
    assert getpass.getuser() == "nbfed"


def test_one_process_in_a_scratch_folder(tmp_path: Path) -> None:
    Scratch(tmp_path).own()
    with pytest.raises(BadInput, match="Another process"):
        Scratch(tmp_path).own()


def test_health_is_registered_and_heartbeating_now(site, scratch: Path, capfd) -> None:
    assert site("healthy") == 1
    scratch.mkdir()
    health = Health(scratch / "health.json")
    health("disconnected", {"cause": "connection refused", "retry_seconds": 1.0})
    assert site("healthy") == 1
    assert "connection refused" in capfd.readouterr().out
    health("received", {})
    assert site("healthy") == 1
    health("connected", {"server": "a:1"})
    assert site("healthy") == 0
    assert "21 seconds old" in ailment(scratch / "health.json", time.time() + 21)
    health.beat()
    assert site("healthy", "--format", "json") == 0
    health("stopped", {"cause": "told to end"})
    assert site("healthy") == 1


def test_the_operator_reads_each_thing_once(capsys) -> None:
    import sys

    tell = Narrator(sys.stdout)
    epoch = {"phase": "train", "epoch": 1, "epochs": 2, "batches": 9}
    tell("connected", {"server": "https://a:1"})
    for cause in ("timed out", "timed out", "refused"):
        tell("disconnected", {"cause": cause, "retry_seconds": 0.3})
    tell("received", {"task_id": "t", "kind": "train", "round": 2, "bytes": 12345, "seconds": 0.1})
    for batch in range(3):
        tell("progress", {**epoch, "batch": batch})
    tell("progress", {**epoch, "phase": "prepare", "batch": 1})
    tell("released", {})
    tell("replied", {"task_id": "t", "bytes": 12345, "seconds": 0.2})
    lines = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "Connected to https://a:1",
        "Not connected, trying again: timed out",
        "Not connected, trying again: refused",
        "Round 2: the server asks to train (12,345 bytes came)",
        "Round 2: train, epoch 1 of 2",
        "Sent 12,345 bytes",
    ]


def test_a_server_may_wish_for_parameters_but_not_for_folders(slice_folder: Path, site) -> None:
    program = Program(slice_folder, {"data_path": "/data"}, None, lambda progress: None)
    for wish in ({"data_path": "/etc"}, {"speed": 1}):
        with pytest.raises(TaskRefused, match="may not set"):
            program.prepare(0, wish)
    with pytest.raises(Exception, match="how many train samples"):
        program.prepare(0, {"rate": 0.5})
    assert program._names["rate"] == 0.5
    own = Program(slice_folder, {"rate": 0.2}, None, lambda progress: None)
    with pytest.raises(Exception, match="how many train samples"):
        own.prepare(0, {"rate": 0.5})
    assert own._names["rate"] == 0.2


def test_a_site_says_where_it_stands() -> None:
    standing, epoch = Standing(), {"phase": "train", "epoch": 2, "epochs": 3, "batch": 1, "batches": 9}
    stages = []
    for event, fields in [
        ("connected", {}),
        ("received", {"kind": "describe", "round": 0}),
        ("preparing", {}),
        ("progress", {**epoch, "phase": "prepare"}),
        ("released", {"round": 0}),
        ("replied", {}),
        ("received", {"kind": "train", "round": 4}),
        ("evaluating", {"round": 4}),
        ("training", {"round": 4}),
        ("progress", epoch),
        ("disconnected", {}),
        ("released", {"round": 4}),
        ("replied", {}),
    ]:
        standing(event, fields)
        stages.append(SiteState.from_header(standing.header()))
    assert [state.stage for state in stages if state] == [
        *("joined", "joined", "preparing", "preparing", "sending", "described", "described"),
        *("evaluating", "training", "training", "training", "sending", "waiting"),
    ]
    assert stages[9] == stages[10] == SiteState("training", 4, 2, 3)
