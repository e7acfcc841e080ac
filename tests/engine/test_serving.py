"""The programs of the two images, as real processes over TLS: ``serve``, and three times ``up``."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from notebook_federator import api, slicing, templates
from notebook_federator.federation import RunFolder
from notebook_federator.ledger import Ledger

from . import containers

NAMES = ("hospital-a", "hospital-b", "hospital-c")
ROOT = Path(__file__).resolve().parents[2] / "packages/federator/src/notebook_federator"
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def slice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The breast-cancer example as it lies in a client image."""
    folder = tmp_path_factory.mktemp("image")
    checked = api.check(templates.write(folder / "breast.ipynb", "breast-cancer"))
    slicing.write(checked.slice, folder / "slice")
    return folder / "slice"


@pytest.fixture
def server_slice(slice_folder: Path, tmp_path: Path) -> Path:
    """What of it is in a server image."""
    (tmp_path / "server-slice").mkdir()
    shutil.copy(slice_folder / "manifest.json", tmp_path / "server-slice")
    return tmp_path / "server-slice"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a container with a scratch folder of that name; killed at the end."""
    made = []

    def new(program: list[str], name: str, **environment: str) -> Any:
        made.append(containers.Container(program, tmp_path / name, environment))
        return made[-1]

    yield new
    for container in made:
        container.kill()


@pytest.fixture
def sites(make: Make, slice_folder: Path) -> list[Any]:
    found = [make(containers.SITE, name, NBFED_SITE=name, NBFED_SLICE=str(slice_folder)) for name in NAMES]
    for number, site in enumerate(found, start=1):
        site.environment["NBFED_SHARE"] = f"{number}/3"
    return found


def members(sites: list[Any]) -> list[str]:
    return [f"--site={site.scratch.name}={site.call('key').stdout.strip()}" for site in sites]


@pytest.mark.end_to_end
def test_a_federation_over_tls_with_a_site_that_is_killed(
    make: Make, sites: list[Any], server_slice: Path, tmp_path: Path
) -> None:
    pem = containers.certificates(tmp_path)
    words = [
        "serve",
        *members(sites),
        "--port=0",
        "--quorum=3",
        "--set=SEED=11",
        "--slice",
        str(server_slice),
    ]
    tls = ["--certificate", str(pem["certificate"]), "--certificate-key", str(pem["key"])]
    server = make(containers.SERVER, "server")
    assert "has not begun" in server.call("healthy").stdout
    server.start(*words, *tls, "--host=127.0.0.1")
    address = server.until("listening")["address"]
    assert server.call("healthy").returncode == 0
    for site in sites:
        site.environment |= {"NBFED_SERVER": f"https://{address}", "NBFED_CA": str(pem["ca"])}
        site.start("up")
    sites[0].until("training", round=1)
    assert sites[0].call("healthy").stdout == "registered\n"
    sites[0].kill()
    server.until("lost", site="hospital-a")
    sites[0].start("up")
    assert server.end(120) == 0, server.log
    assert [site.end() for site in sites] == [0, 0, 0]
    assert f"Connected to https://{address}" in sites[1].log
    assert "Round 1: train, epoch 10 of 10" in sites[1].log
    assert "Stopped: the server says that the run is over" in sites[1].log
    assert "hospital-a is back" in server.log
    assert "finished 3 rounds" in server.log
    assert server.call("healthy").returncode == 1
    check_confined(sites, tmp_path)
    check_report(server.scratch / "run", tmp_path / "copy")


def check_confined(sites: list[Any], tmp_path: Path) -> None:
    """The private key is its owner's; no file of the user lies anywhere but in scratch folders."""
    assert stat.S_IMODE((sites[0].scratch / "key.pem").stat().st_mode) == 0o600
    if os.getuid() == 0:
        found = subprocess.run(
            [
                "find",
                "/tmp",
                "/var/tmp",
                "/dev/shm",
                "-uid",
                str(containers.USER),
                "-newer",
                str(tmp_path / "ca.pem"),
            ],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.splitlines()
        assert found
        assert [path for path in found if not path.startswith(str(tmp_path))] == []


def check_report(run: Path, copy: Path) -> None:
    """The coordinator copies the run folder, and has its report."""
    shutil.copytree(run, copy)
    finished = api.FinishedRun(RunFolder(copy))
    assert finished.record.state == "completed"
    assert "Federation" in finished.table()
    assert finished.report().html.exists()
    assert [site.card.samples["train"] for site in finished.record.sites] == [57, 57, 56]
    with Ledger(copy / "ledger.sqlite", lambda: "") as ledger:
        assert ledger.verify() > 20


@pytest.mark.end_to_end
def test_a_server_that_is_stopped_goes_on_with_its_sites(
    make: Make, sites: list[Any], server_slice: Path, tmp_path: Path
) -> None:
    site = sites[0]
    port = free_port()
    words = ["serve", *members([site]), f"--port={port}", "--host=127.0.0.1", "--rounds=25", "--epochs=2",
             "--quorum=1", "--format=json", "--slice", str(server_slice)]  # fmt: skip
    server = make(containers.SERVER, "server").start(*words)
    site.environment["NBFED_SERVER"] = f"http://127.0.0.1:{port}"
    site.start("up", "--format", "json")
    server.until("round_finished", round=2)
    server.process.send_signal(signal.SIGTERM)
    assert server.end() == 130
    site.until("disconnected")
    assert site.process.poll() is None
    other = server.call(*words, "--rounds=26")
    assert other.returncode == 4
    assert "rounds was 25, and is now 26" in other.stderr
    server.start(*words)
    assert server.until("resumed")["round"] >= 2
    server.until("finished")
    assert server.end() == 0
    assert site.end() == 0
    assert server.call(*words).stderr.endswith("is finished.\n")
    for text in (site.log, server.log):
        assert {json.loads(line)["event"] for line in text.splitlines() if line.startswith("{")} >= {
            "stopped"
        }


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_server_needs_its_own_rooms_alone(tmp_path: Path) -> None:
    package = tmp_path / "lib/notebook_federator"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "__init__.py", package)
    for room in ("aggregation", "rounds", "ledger", "federation"):
        shutil.copytree(ROOT / room, package / room)
    program = f"""
import sys
sys.path.insert(0, {str(package.parent)!r})
import notebook_federator.federation.serving as serving
early = {{"flwr", "torch", "fastapi"}} & set(sys.modules)
import notebook_federator.federation.server, notebook_federator.rounds.flower
late = {{"torch", "nbformat", "matplotlib", "IPython", "sklearn"}} & set(sys.modules)
own = {{name.split(".")[1] for name in sys.modules if name.startswith("notebook_federator.")}}
import os
print(serving.__file__, early, late, sorted(own), os.environ["FLWR_TELEMETRY_ENABLED"])
"""
    made = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    rooms = ["aggregation", "federation", "ledger", "rounds"]
    assert made.stdout.split(" ", 1)[1].strip() == f"set() set() {rooms} 0"
    assert made.stdout.startswith(str(package))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "federation.toml cannot be read"),
        (["--site=a=nonsense"], "not a site's public key"),
        (["--site=a"], "not NAME=VALUE"),
        (["--site=A=KEY"], "cannot be the name"),
        (["--site=a=KEY", "--site=b=KEY"], "a key of its own"),
        (["--site=a=KEY", "--rounds=0"], "0 rounds"),
        (["--site=a=KEY", "--rounds=many"], "invalid int value"),
        (["--site=a=KEY", "--quorum=2"], "never be reached"),
        (["--site=a=KEY", "--quorum=1", "--set=speed=1"], "no parameter 'speed'"),
        (["--site=a=KEY", "--quorum=1", "--set=epochs=1"], "does not set 'epochs'"),
        (["--site=a=KEY", "--host=0.0.0.0"], "needs TLS"),
        (["--site=a=KEY", "--certificate=/nowhere", "--certificate-key=/nowhere"], "cannot be used"),
        (["--site=a=KEY", "--slice=/nowhere"], "manifest cannot be read"),
        (["--colour=red"], "--colour"),
    ],
)
def test_what_the_server_refuses_to_begin_with(
    words: list[str],
    said: str,
    server_slice: Path,
    tmp_path: Path,
    capfd: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nbfed_site.link import generate_key, key_line

    key = key_line(generate_key(tmp_path / "key.pem"))
    code = in_child(monkeypatch, tmp_path, ["serve", "--host=127.0.0.1", "--slice", str(server_slice),
                                            *(word.replace("KEY", key) for word in words)])  # fmt: skip
    assert code == 4
    assert said in capfd.readouterr().err
    assert not (tmp_path / "scratch/run/run.json").exists()


def in_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]) -> int:
    """Call the program in this process, and undo what it does to the process."""
    from notebook_federator.federation import serving

    monkeypatch.setattr(serving, "end_on_signals", lambda: None)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"NBFED_SCRATCH": str(tmp_path / "scratch")})
    monkeypatch.chdir(tmp_path)
    return serving.main(words)
