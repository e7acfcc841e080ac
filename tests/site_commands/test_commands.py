"""``key``, ``healthy`` and what ``up`` takes: flags, environment, and one folder to write."""

import getpass
import json
import os
import stat
import tempfile
import time
from pathlib import Path

import pytest
from nbfed_site.contracts import BadInput, SettingsInvalid, SiteState, TaskRefused
from nbfed_site.events import Narrator, Standing
from nbfed_site.link import generate_key, key_from_line, key_line
from nbfed_site.program import Program
from nbfed_site.scratch import Health, Scratch, ailment
from nbfed_site.settings import server_address


def test_the_key_is_made_once_and_stays_the_sites(site, scratch: Path, capfd) -> None:
    assert [site("key"), site("key")] == [0, 0]
    first, second = capfd.readouterr().out.split()
    assert first == second
    assert first.startswith("nbfed-site-key:")
    assert len(first) < 60
    assert stat.S_IMODE((scratch / "key.pem").stat().st_mode) == 0o600
    assert site("key", "--format", "json") == 0
    assert json.loads(capfd.readouterr().out)["data"] == {"key": first}


def test_a_line_gives_the_key_back(tmp_path: Path) -> None:
    public = generate_key(tmp_path / "key.pem")
    line = key_line(public)
    assert key_from_line(f" {line}\n") == public
    for wrong in (line[:-4], line[:-2], "nbfed-site-key:", "nbfed-site-key:!", "ssh-rsa AAAA"):
        with pytest.raises(SettingsInvalid, match="public key"):
            key_from_line(wrong)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://fed.example.org:9092", "https://fed.example.org:9092"),
        ("https://fed.example.org", "https://fed.example.org:443"),
        ("fed.example.org:9092", "https://fed.example.org:9092"),
        ("http://127.0.0.1:9092", "127.0.0.1:9092"),
        ("http://localhost:9092/", "localhost:9092"),
        ("https://[2001:db8::1]:9092", "https://[2001:db8::1]:9092"),
    ],
)
def test_the_servers_address(given: str, address: str) -> None:
    assert server_address(given, plain_http=False) == address


@pytest.mark.parametrize(
    "given", ["http://fed.example.org:9092", "http://10.0.0.1", "http://127.0.0.1.example.org"]
)
def test_plain_http_stays_on_this_machine_unless_asked_for(given: str) -> None:
    with pytest.raises(SettingsInvalid, match="readable"):
        server_address(given, plain_http=False)
    assert ":" in server_address(given, plain_http=True)


@pytest.mark.parametrize("given", ["ftp://a:1", "https://", "https://a:port", ":9092", "https://a:99999"])
def test_what_is_no_address(given: str) -> None:
    with pytest.raises(SettingsInvalid, match="not the server's address"):
        server_address(given, plain_http=True)


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["up"], {}, "There is no kit"),
        (["up"], {"server": "https://a:1"}, "--name NAME (NBFED_SITE)"),
        (["up"], {"server": "http://a:1", "site": "a"}, "--plain-http"),
        (["up", "--data", "/nowhere"], {"server": "https://a:1", "site": "a"}, "/data:ro"),
        (["up"], {"server": "https://a:1", "site": "a", "ca": "/nowhere"}, "authority's certificate"),
        (["up", "--set", "speed=1"], {"server": "https://a:1", "site": "a"}, "'speed'"),
        (["up"], {"wire": "fp8"}, "fp32 or bf16"),
        (["up"], {"share": "4/3", "server": "https://a:1", "site": "a"}, "share 3 of 3"),
        (["up"], {"min_examples": "few"}, "invalid int value"),
        (["up"], {"slice": "/nowhere"}, "slice cannot be read"),
        (["down"], {}, "invalid choice"),
        ([], {}, "required: command"),
    ],
)
def test_what_is_missing_or_wrong_is_said(site, capfd, words, variables, said) -> None:
    if "slice" in variables:
        words = [*words, "--slice", variables["slice"]]
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
    with pytest.raises(Exception, match="did not make 'net'"):
        program.prepare(0, {"rate": 0.5})
    assert program._names["rate"] == 0.5
    own = Program(slice_folder, {"rate": 0.2}, None, lambda progress: None)
    with pytest.raises(Exception, match="did not make 'net'"):
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
