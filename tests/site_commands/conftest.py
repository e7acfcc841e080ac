"""Commands of a site, called in this process and undone after."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nbfed_site import __main__ as program
from nbfed_site.contracts import LineSpan, Manifest, Names, Parameter, Section, canonical_json, digest

CODE = b"""data_path = ""
rate = 0.1
import json
try:
    import not_installed_anywhere
except ImportError:
    pass
"""


@pytest.fixture
def slice_folder(tmp_path: Path) -> Path:
    """A slice that reads a data folder."""
    folder = tmp_path / "slice"
    folder.mkdir()
    write_slice(folder, CODE)
    return folder


def write_slice(folder: Path, code: bytes) -> None:
    manifest = Manifest(
        notebook="test.ipynb",
        notebook_digest=digest(b"notebook"),
        slice_digest=digest(code),
        form="function",
        framework="torch",
        sections=(Section("setup", 1, 9),),
        spans=(LineSpan(1, 1, 1, 9),),
        names=Names("net"),
        parameters=(Parameter("data_path", "data_path", None), Parameter("rate", "other", 0.1)),
    )
    (folder / "slice.py").write_bytes(code)
    (folder / "manifest.json").write_bytes(canonical_json(manifest.to_json()))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


Site = Callable[..., int]


@pytest.fixture
def site(scratch: Path, slice_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Calls ``nbfed-site``: words, then NBFED_* variables in small letters; returns the exit code."""
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    path, before = list(sys.path), dict(os.environ)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    monkeypatch.chdir(Path.cwd())

    def call(*words: str, **variables: object) -> int:
        if scratch.is_dir():
            (scratch / "lock").unlink(missing_ok=True)  # of a process that has ended
        os.environ["NBFED_SCRATCH"], os.environ["NBFED_SLICE"] = str(scratch), str(slice_folder)
        os.environ.update({f"NBFED_{name.upper()}": str(value) for name, value in variables.items()})
        return program.main(list(words))

    yield call
    os.environ.clear()
    os.environ.update(before)
    sys.path[:] = path
    for number, handler in handlers:
        signal.signal(number, handler)


@pytest.fixture
def findings(site: Site, capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, tuple[str, str]]]:
    """What the doctor finds: level and advice, by the first word of what was looked at."""

    def look(*words: str, **variables: object) -> dict[str, tuple[str, str]]:
        code = site("doctor", "--format", "json", *words, **variables)
        envelope = json.loads(capfd.readouterr().out)
        found = envelope["data"]["findings"]
        assert envelope["exit_code"] == code == int(any(item["level"] == "no" for item in found))
        return {
            item["what"].split(":")[0]: (item["level"], item["what"] + " " + item["advice"]) for item in found
        }

    return look
