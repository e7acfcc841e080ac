"""The site's process: settings, events, and how it ends."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nbfed_site.__main__ import main
from nbfed_site.link import generate_key


@pytest.fixture
def settings(make_slice, tmp_path: Path) -> dict:
    key = tmp_path / "key.pem"
    generate_key(key)
    return {
        "server": "127.0.0.1:9",
        "name": "hospital-a",
        "key": str(key),
        "slice": str(make_slice()),
        "receipts": str(tmp_path / "receipts.jsonl"),
        "events": str(tmp_path / "events.jsonl"),
        "threads": 1,
        "heartbeat_seconds": 0.5,
        "parent_pipe": True,
    }


def written(settings: dict, tmp_path: Path, **changes) -> list[str]:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**settings, **changes}))
    return ["up", "--settings", str(path)]


def started(arguments: list[str], **streams) -> subprocess.Popen:
    command = [sys.executable, "-m", "nbfed_site", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, **streams)


def wait_for(path: Path, text: str, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while not (path.exists() and text in path.read_text()):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["terminate", "interrupt", "parent gone"])
def test_a_site_without_a_server_ends_when_told(settings, tmp_path: Path, how: str) -> None:
    process = started(written(settings, tmp_path), stderr=subprocess.PIPE)
    try:
        wait_for(tmp_path / "events.jsonl", "disconnected", process)
        if how == "parent gone":
            process.stdin.close()
        else:
            process.send_signal(signal.SIGTERM if how == "terminate" else signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        process.stdin.close()
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert {event["event"] for event in events} >= {"disconnected"}
    assert all(event["at"].endswith("Z") for event in events)


def test_events_on_standard_output_are_alone_there(settings, tmp_path: Path) -> None:
    (Path(settings["slice"]) / "slice.py").write_text("changed")
    arguments = written(settings, tmp_path, events=1)
    process = started(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, log = process.communicate(timeout=60)
    assert process.returncode == 4
    assert [json.loads(line)["code"] for line in out.splitlines()] == ["NE400"]
    assert b"not the one that its manifest names" in log


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "colour"),
        ({"data_path": "/data", "parameters": {"rate": 1}}, "rate"),
        ({"partition": {"index": 4, "count": 3}}, "share 4 of 3"),
        ({"policy": {"min_exemples": 3}}, "min_exemples"),
        ({"key": "/nowhere/key.pem"}, "key"),
    ],
)
def test_settings_that_do_not_fit_are_said(settings, tmp_path: Path, capfd, change, said) -> None:
    arguments = written(settings, tmp_path, parent_pipe=False, **change)
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        assert main([*arguments]) == 4
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
    assert said in capfd.readouterr().err


def test_missing_settings_are_said(tmp_path: Path, capsys) -> None:
    assert main(["up", "--settings", str(tmp_path / "none.json")]) == 4
    assert "NE400" in capsys.readouterr().err
    (tmp_path / "some.json").write_text('{"name": "a"}')
    assert main(["up", "--settings", str(tmp_path / "some.json")]) == 4
    assert "NE403" in capsys.readouterr().err
