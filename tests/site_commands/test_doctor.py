"""The doctor: each thing that can be wrong at a site is found, and what to do is said."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nbfed_site.link import generate_key
from notebook_federator.rounds.flower import FlowerTransport, ServerCertificate

from ..engine.containers import certificates
from .conftest import CODE, write_slice


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x.csv").write_text("1")
    return tmp_path / "data"


@pytest.fixture
def served(scratch: Path, tmp_path: Path) -> Iterator[Any]:
    """A server that knows this site: its URL, and its authority's certificate."""
    scratch.mkdir()
    key = generate_key(scratch / "key.pem")
    pem = certificates(tmp_path, valid_days=5)
    tls = ServerCertificate(pem["certificate"], pem["key"])
    transport = FlowerTransport("127.0.0.1", 0, {"a": key}, tmp_path / "spool", tls=tls)
    yield SimpleNamespace(server=f"https://{transport.address}", ca=pem["ca"], transport=transport)
    transport.close()


def test_a_site_in_order(findings, data: Path, served: Any) -> None:
    found = findings(data=data, server=served.server, ca=served.ca)
    for about in ("runtime", "slice", "imports", "disk", "processors", "clock", "server",
                  "the server knows this site's key", "data can be read"):  # fmt: skip
        assert found[about][0] == "ok", found[about]
    assert found["certificate"] == ("warning", "certificate: 5 days left Ask the coordinator for a new one.")
    assert not list(served.transport.events(0)), "the doctor must not look like a site that joins"


def test_a_slice_that_was_changed(findings, slice_folder: Path) -> None:
    (slice_folder / "slice.py").write_bytes(CODE + b"import socket\n")
    level, text = next(value for about, value in findings().items() if about == "slice")
    assert level == "no"
    assert "not the one that its manifest names" in text


def test_a_package_that_is_missing_or_broken(findings, slice_folder: Path) -> None:
    write_slice(slice_folder, CODE + b"def later():\n    import gone_for_good\n")
    level, text = findings()["import gone_for_good"]
    assert level == "no"
    assert "ModuleNotFoundError" in text


@pytest.mark.parametrize("what", ["missing", "empty", "not asked for"])
def test_data_that_cannot_be_read(
    findings, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "empty":
        (tmp_path / "empty").mkdir()
        level, text = findings(data=tmp_path / "empty")["data"]
        assert "0 files seen" in text
    elif what == "missing":
        level, text = findings(data=tmp_path / "none")["data"]
        assert ":/data:ro" in text
    else:
        monkeypatch.setattr("nbfed_site.settings.DATA", tmp_path / "none")
        level, text = findings()["data"]
        assert "there is none" in text
    assert level == "no"


def test_files_of_others(findings, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "x.csv" not in str(path) and real(path, mode))
    level, text = findings(data=data)["data can be read"]
    assert level == "no"
    assert "1 of 1 cannot be read" in text


def test_a_scratch_folder_that_cannot_be_written(findings, scratch: Path) -> None:
    scratch.write_text("a file in its place")
    level, text = findings()[f"writing to {scratch}"]
    assert level == "no"
    assert "Mount a folder" in text


def test_a_server_out_of_reach(findings) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = findings(server=f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert found["The server cannot be reached"][0] == "no"


def test_a_server_of_another_authority(findings, served: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    level, text = findings(server=served.server, ca=certificates(tmp_path / "other")["ca"])[
        "The server's certificate is not accepted"
    ]
    assert level == "no"
    assert "let it pass this one unopened" in text


def test_a_server_of_another_name(findings, served: Any) -> None:
    url = served.server.replace("127.0.0.1", "localhost")
    found = findings(server=url, ca=served.ca)["The server's certificate is not accepted"]
    assert "ostname mismatch" in found[1]


def test_a_key_that_the_server_does_not_know(findings, served: Any, scratch: Path) -> None:
    (scratch / "key.pem").unlink()
    found = findings(server=served.server, ca=served.ca)
    assert found["no key yet"][0] == "warning"
    generate_key(scratch / "key.pem")
    found = findings(server=served.server, ca=served.ca)
    assert found["The server refuses this site"][0] == "no"


def test_a_clock_that_is_off(findings, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    ahead = SimpleNamespace(time=lambda: real() + 86_400)
    monkeypatch.setattr("nbfed_site.link.probe.time", ahead)
    level, text = findings(server=served.server, ca=served.ca)["clock"]
    assert level == "no"
    assert text.startswith("clock: +864")


def test_a_gpu_image_without_gpu(findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    level, _ = findings()["GPU"]
    seen = Path("/dev/nvidiactl").exists()
    assert level == ("ok" if seen else "no")
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "void")
    assert "GPU" not in findings()


def test_lines_for_people(site, capfd: pytest.CaptureFixture[str], data: Path) -> None:
    assert site("doctor", data=data) == 0
    lines = capfd.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    assert len(lines) > 8
