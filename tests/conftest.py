"""Fixtures shared by all tests."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("nbfed", deadline=None)  # how long a case takes says nothing here
hypothesis.settings.load_profile("nbfed")


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data that is not part of the repository; skips where it is absent."""
    folder = Path(os.environ.get("NBFED_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder} (set NBFED_SHARED_DATA to its folder)")
    return folder


@pytest.fixture
def repository() -> Path:
    """The root of this repository."""
    return REPOSITORY


@pytest.fixture(scope="session", autouse=True)
def own_folders() -> Iterator[None]:
    """Cache and configuration of these tests alone: nothing of the user's is read or written."""
    with tempfile.TemporaryDirectory(prefix="nbfed-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBFED_CACHE", f"{folder}/cache")
        patch.setenv("XDG_CONFIG_HOME", f"{folder}/config")
        yield


@dataclass(frozen=True)
class LocalRegistry:
    """A real registry (Debian's docker-registry) on a port of this machine.

    Blobs are in ``folder``; ``log`` has a line for every request, with the bytes of the answer.
    """

    address: str
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path


StartRegistry = Callable[..., LocalRegistry]


@pytest.fixture
def start_registry(tmp_path: Path) -> Iterator[StartRegistry]:
    """Starts registries, with more of its own configuration where given; skips where none is installed."""
    yield from registries(tmp_path)


@pytest.fixture(scope="session")
def shared_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """One plain registry for all tests: for what is dear to push and nobody changes."""
    for start in registries(tmp_path_factory.mktemp("shared-registry")):
        yield start()


def registries(folder: Path) -> Iterator[StartRegistry]:
    """Yields once: a function that starts registries with their files in ``folder``; then ends them all."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        pytest.skip("no registry here (Debian: apt-get install docker-registry)")
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int | None = None, **configuration: object) -> LocalRegistry:
        number = len(started)
        address = f"localhost:{port or free_port()}"
        blobs = folder / f"registry-{number}"
        own = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(blobs)}, "delete": {"enabled": True}},
            **configuration,
        }
        own["http"] = {"addr": address, **dict(own.get("http", {}))}  # type: ignore[call-overload]
        path = folder / f"registry-{number}.yml"
        path.write_text(json.dumps(own))  # JSON is YAML
        log = folder / f"registry-{number}.log"
        with log.open("wb") as out:
            process = subprocess.Popen([program, "serve", str(path)], stdout=out, stderr=out)
        started.append(process)
        wait_for_port(address)
        return LocalRegistry(address, blobs, process, log)

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture
def registry(start_registry: StartRegistry) -> LocalRegistry:
    """A plain registry without authentication."""
    return start_registry()


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(address: str, seconds: float = 20.0) -> None:
    """Wait until something listens at ``address`` (HOST:PORT)."""
    host, _, port = address.partition(":")
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
