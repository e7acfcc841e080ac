"""The doctor: each thing that can be wrong at a site is found, and what to do is said."""

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nbfed_site import doctor
from nbfed_site.contracts import DataContract, Manifest, ReleasePolicy, SettingsInvalid, digest
from nbfed_site.fit import misfits
from nbfed_site.program import read_slice
from nbfed_site.settings import data_folder

from .conftest import CODE, TRAINS, write_slice, write_training
from .coordinator import Coordinator, Server


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x.csv").write_text("1")
    return tmp_path / "data"


@pytest.fixture
def training(slice_folder: Path) -> str:
    """The slice is one that trains; its digest."""
    write_training(slice_folder)
    return digest(TRAINS)


@pytest.fixture
def server(tmp_path: Path, training: str) -> Iterator[Server]:
    made = Server(Coordinator(tmp_path / "federation"), training)
    yield made
    made.transport.close()


@pytest.fixture
def kit(server: Server, tmp_path: Path, training: str) -> Callable[..., Path]:
    def issue(name: str = "kit", **fields: Any) -> Path:
        fields = {"server": server.url, "slice_digest": training, **fields}
        return server.coordinator.kit(tmp_path / name, **fields)

    return issue


ALL = (
    "runtime", "slice", "imports", "disk", "memory", "processors", "clock", "kit", "approval", "proxy",
    "join token", "server", "server's certificate", "membership", "data", "data can be read", "samples",
    "policy", "dry run", "memory for the model",
)  # fmt: skip


def test_a_site_in_order_before_it_has_joined(findings, data: Path, server: Server, kit) -> None:
    found = findings(data=data, kit=kit())
    for about in ALL:
        assert found[about][0] == "ok", found[about]
    assert "the first `up` joins" in found["membership"][1]
    assert "the first `up` gives it" in found["approval"][1]
    assert "train 64, validation 16, test 40" in found["samples"][1]
    assert not server.asked, "the token is not used up"
    assert not list(server.transport.events(0)), "the doctor must not look like a site that joins"


def test_a_site_that_has_joined(findings, data: Path, server: Server, kit, site, scratch: Path) -> None:
    folder = kit()
    server.refuse = None
    join(site, server, folder)
    found = findings(data=data, kit=folder)
    assert found["own certificate"][0] == "ok"
    assert "400 days left" in found["own certificate"][1]
    assert found["approval"] == ("ok", "approval: given ")
    assert "the server knows this site" in found["membership"][1]
    server.removed = "hospital-a was removed: vote expired"
    server.transport.expel("hospital-a")
    level, text = findings(kit=folder)["The server refuses this site"]
    assert level == "no"
    assert "vote expired" in text


def join(site: Any, server: Server, folder: Path) -> None:
    """Take part once; the server has no more for this site once it has joined."""

    def close() -> None:
        while not any(True for _ in server.transport.events(0.2)):
            pass
        server.transport.expel("hospital-a")

    thread = threading.Thread(target=close, daemon=True)
    thread.start()
    assert site("up", kit=folder) == 2
    thread.join()
    server.transport.admit("hospital-a", server.key)


def test_a_certificate_that_ends_soon_is_said_in_time(
    findings, data: Path, server: Server, kit, site
) -> None:
    folder = kit()
    server.days = 20
    join(site, server, folder)
    level, text = findings(data=data, kit=folder)["own certificate"]
    assert level == "warning"
    assert "20 days left" in text
    assert "joins anew" in text


def test_an_image_without_a_kit(findings, slice_folder: Path, tmp_path: Path) -> None:
    found = findings(kit=tmp_path / "none")
    assert found["kit"] == ("warning", "kit: none Mount the coordinator's folder: -v DIR:/kit:ro")


def test_a_kit_that_was_edited(findings, kit) -> None:
    folder = kit()
    (folder / "compose.yml").write_text("services: {site: {privileged: true}}")
    level, text = findings(kit=folder)["kit"]
    assert level == "no"
    assert "compose.yml was edited" in text
    assert "new kit" in text


def test_a_kit_that_was_not_approved(findings, server: Server, kit, site) -> None:
    join(site, server, kit())
    level, text = findings(kit=kit("newer", serial=2, policy=ReleasePolicy(min_examples=1)))["approval"]
    assert level == "no"
    assert "sh site approve" in text


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
    assert "1 of 1 files and 0 folders are shut" in text


@pytest.fixture
def manifest(slice_folder: Path) -> Manifest:
    return read_slice(slice_folder).manifest


@pytest.fixture
def shut_folder() -> Iterator[Path]:
    """A folder within another, which this process may not enter while it is nobody's."""
    outer = Path(tempfile.mkdtemp())
    outer.chmod(0o755)
    (outer / "open.csv").write_text("1")
    inner = outer / "shut"
    (inner / "below").mkdir(parents=True)
    inner.chmod(0o000)
    root = os.geteuid() == 0
    os.seteuid(61_713 if root else os.geteuid())
    yield inner
    os.seteuid(0 if root else os.geteuid())
    inner.chmod(0o755)
    shutil.rmtree(outer)


def test_folders_of_others(manifest: Manifest, shut_folder: Path) -> None:
    seen = {finding.what.split(":")[0]: finding for finding in doctor._files(shut_folder.parent)}
    assert seen["data"].level == "ok"
    assert seen["data can be read"].level == "no"
    assert "0 of 1 files and 1 folders are shut: let user" in seen["data can be read"].advice
    seen = {finding.what.split(":")[0]: finding for finding in doctor._files(shut_folder)}
    assert "It is shut" in seen["data"].advice
    assert misfits(DataContract(files=("*",)), shut_folder / "below") == ["There is no data folder."]
    with pytest.raises(SettingsInvalid, match="not there, or shut"):
        data_folder(shut_folder / "below", manifest)


def test_data_that_does_not_fit_the_contract(told, data: Path, kit) -> None:
    contract = DataContract(files=("*.png",), labels=("0", "1"), minimum={"train": 100})
    missed = [what for level, what, _ in told(data=data, kit=kit(contract=contract)) if level == "no"]
    assert missed == [
        "data contract: No file matches *.png",
        "data contract: train: 64 samples, at least 100 needed",
    ]
    fitting = told(data=data, kit=kit("fitting", contract=DataContract(labels=("0", "1"))))
    assert [(level, what) for level, what, _ in fitting if what.startswith("data contract")] == [
        ("ok", "data contract: files, columns and image sizes are as it asks"),
        ("ok", "data contract: labels and counts are as it asks"),
    ]


def test_too_few_samples_for_the_policy(findings, data: Path, kit) -> None:
    level, text = findings(data=data, kit=kit(policy=ReleasePolicy(min_examples=65)))["policy"]
    assert level == "no"
    assert "fewer than 65" in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"raise MemoryError('no room')", "train code raised MemoryError. (notebook cell 4, line 1)"),
        (b"print('hello'); train(net)", "trained and tested on a few batches"),
    ],
)
def test_a_dry_run_of_the_notebook(findings, data, kit, server, slice_folder, tmp_path, line, said) -> None:
    code = TRAINS.replace(b"\ntrain(net)\n", b"\n" + line + b"\n")
    write_training(slice_folder, code)
    folder = server.coordinator.kit(tmp_path / "own", server=server.url, slice_digest=digest(code))
    level, text = findings(data=data, kit=folder)["dry run"]
    assert level == ("ok" if b"hello" in line else "no")
    assert said in text


def test_a_scratch_folder_that_cannot_be_written(findings, scratch: Path) -> None:
    scratch.write_text("a file in its place")
    level, text = findings()[f"writing to {scratch}"]
    assert level == "no"
    assert "Mount a folder" in text


# -- the way to the server ---------------------------------------------------------------------


def test_a_server_out_of_reach(findings, kit) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        folder = kit(server=f"https://127.0.0.1:{closed.getsockname()[1]}")
        level, text = findings(kit=folder)["The server cannot be reached"]
    assert level == "no"
    assert "Nothing listens there" in text


def test_a_name_that_is_not_known(findings, kit) -> None:
    level, text = findings(kit=kit(server="https://nowhere.invalid:9092"))["The server cannot be reached"]
    assert level == "no"
    assert "HTTPS_PROXY" in text


def test_a_server_of_another_name(findings, kit, server: Server) -> None:
    folder = kit(server=server.url.replace("127.0.0.1", "localhost"))
    level, text = findings(kit=folder)["The server's certificate is not accepted"]
    assert level == "no"
    assert "ostname mismatch" in text
    assert "tell the coordinator" in text


def test_a_server_of_another_authority(findings, kit, tmp_path: Path, training: str) -> None:
    stranger = Server(Coordinator(tmp_path / "stranger"), training)
    try:
        found = findings(kit=kit(server=stranger.url))["The server's certificate is not accepted"]
    finally:
        stranger.transport.close()
    assert found[0] == "no"
    assert "let it pass this one unopened" in found[1]


def test_a_join_token_that_expired(findings, kit, server: Server) -> None:
    server.coordinator.now -= timedelta(days=100)
    found = findings(kit=kit())
    assert found["join token"][0] == "no"
    assert "100 days old" in found["kit"][1]
    assert "certificate expired" in found["The server does not accept this site's certificate"][1]


def test_a_join_token_that_expires_soon(findings, kit, server: Server) -> None:
    server.coordinator.now -= timedelta(days=28)
    level, text = findings(kit=kit())["join token"]
    assert level == "warning"
    assert "Start `up` before then" in text


def test_the_proxy_is_said(findings, kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://someone:secret@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    found = findings(kit=kit())
    assert found["proxy"] == ("ok", "proxy: 127.0.0.1:9 ")
    level, text = found["The server cannot be reached"]
    assert level == "no"
    assert "HTTPS_PROXY leads to 127.0.0.1:9, where there is no proxy" in text
    assert "secret" not in str(found)


@pytest.mark.parametrize("proxy", ["http://someone:secret@127.0.0.1:eighty", "http://:3128", "http://"])
def test_a_proxy_that_is_none(findings, kit, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    found = findings(kit=kit())
    level, text = found["HTTPS_PROXY is no address of a proxy"]
    assert level == "no"
    assert "http://HOST:PORT" in text
    assert "secret" not in str(found)
    assert "data" in found, "the doctor goes on"


def test_a_proxy_that_asks_for_a_login(findings, kit, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            asked, _ = listening.accept()
            asked.recv(4096)
            asked.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            asked.close()

        threading.Thread(target=refuse, daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        level, text = findings(kit=kit())["The server cannot be reached"]
    assert level == "no"
    assert "asks for a login" in text


def test_a_clock_that_is_off(findings, kit, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr("nbfed_site.link.refusals.time", SimpleNamespace(time=lambda: real() + 86_400))
    level, text = findings(kit=kit())["clock"]
    assert level == "warning"
    assert text.startswith("clock: +864")


def test_a_gpu_image_without_gpu(findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    level, _ = findings()["GPU"]
    seen = Path("/dev/nvidiactl").exists()
    assert level == ("ok" if seen else "no")
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "void")
    assert "GPU" not in findings()


def test_lines_for_people(site, capfd: pytest.CaptureFixture[str], data: Path, kit) -> None:
    assert site("doctor", data=data, kit=kit()) == 0
    lines = capfd.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    assert len(lines) > 20
