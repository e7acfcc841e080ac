"""What a build shows while it runs."""

import json
import os
import pty
import subprocess
import sys

import pytest
from notebook_federator.build_progress import shown

MEGABYTE = 1_000_000
UPLOADING = {
    "event": "layer",
    "title": "torch 2.13",
    "state": "uploading",
    "bytes": 50 * MEGABYTE,
    "total": 134 * MEGABYTE,
}
UPLOADED = {**UPLOADING, "state": "uploaded", "bytes": 134 * MEGABYTE}
SMALL = {"event": "layer", "title": "slice", "state": "uploaded", "bytes": 9_000, "total": 9_000}


def told(how: str, capsys: pytest.CaptureFixture[str]) -> str:
    with shown(how) as show:
        for event in (UPLOADING, UPLOADED, SMALL):
            show(event)
    return capsys.readouterr().err


def test_lines_tell_of_what_took_time_and_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert told("lines", capsys) == "torch 2.13: uploaded, 134.0 MB\n"


def test_lines_tell_what_is_worth_knowing(capsys: pytest.CaptureFixture[str]) -> None:
    note = {
        "event": "layer",
        "title": "no layers are shared in nbfed-layers",
        "state": "note",
        "bytes": 0,
        "total": 0,
    }
    with shown("lines") as show:
        show(note)
    assert capsys.readouterr().err == "no layers are shared in nbfed-layers\n"


def test_json_lines_tell_everything(capsys: pytest.CaptureFixture[str]) -> None:
    found = [json.loads(line) for line in told("json", capsys).splitlines()]
    assert found == [UPLOADING, UPLOADED, SMALL]


def test_nothing_is_told_when_nothing_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert told("none", capsys) == ""


def test_a_terminal_shows_bars_with_bytes_and_rate() -> None:
    code = (
        "import time\n"
        "from notebook_federator.build_progress import shown\n"
        "with shown('auto') as show:\n"
        f"    show({UPLOADING!r}); time.sleep(0.3); show({UPLOADED!r}); time.sleep(0.3)\n"
    )
    main, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=terminal, env=environment)
    os.close(terminal)
    seen = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    assert process.wait() == 0
    text = seen.decode()
    assert "uploading" in text
    assert "torch 2.13" in text
    assert "134.0/134.0 MB" in text
    assert "MB/s" in text
