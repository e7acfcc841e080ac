"""Docker for the benchmark of images: a daemon of its own, so that cold is cold and no other cache goes."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEBIANS = "/usr/bin/docker"  # another client earlier in PATH may lack what BuildKit needs
DAEMON_SECONDS = 30.0


Seconds = Mapping[str, tuple[float, float]]
"""Role -> seconds of `docker build` and of `docker push`."""


class NoDocker(Exception):
    """Why nothing of Docker can be measured here."""


@dataclass(frozen=True, slots=True)
class Docker:
    """A client and the daemon that it talks to."""

    program: str
    socket: Path

    def __call__(self, *words: str, check: bool = True) -> str:
        """Run one command; returns what it prints."""
        command = [self.program, "--host", f"unix://{self.socket}", *words]
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if check and found.returncode:
            raise SystemExit(f"docker {' '.join(words)}\n{found.stdout[-4000:]}\n{found.stderr[-4000:]}")
        return found.stdout

    def timed(self, *words: str) -> float:
        """Seconds that one command takes."""
        began = time.perf_counter()
        self(*words)
        return time.perf_counter() - began

    def build_and_push(self, context: Path, name: str, *options: str) -> tuple[float, float]:
        """Seconds of `docker build`, and of `docker push`."""
        build = self.timed("build", "--network", "host", *options, "--tag", name, str(context))
        return build, self.timed("push", name)


@contextmanager
def empty_docker(folder: Path) -> Iterator[Docker]:
    """A daemon that has never seen an image; all its files are in ``folder``, which is gone at the end.

    Raises:
        NoDocker: it cannot run on this machine.
    """
    program = DEBIANS if Path(DEBIANS).exists() else shutil.which("docker")
    absent = [name for name in ("dockerd", "iptables") if shutil.which(name) is None]
    if program is None or absent:
        raise NoDocker(f"not installed: {', '.join(absent or ['docker'])}")
    if os.getuid() != 0:
        raise NoDocker("only root may start a Docker daemon")
    if Path("/sys/class/net/docker0").exists():
        raise NoDocker("a daemon runs, whose bridge docker0 another one removes; stop it first")
    folder.mkdir(parents=True)
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    command = [
        *("dockerd", *(f"--{option}={folder / name}" for option, name in places.items())),
        *(f"--host=unix://{folder}/socket", "--bridge=none", "--iptables=false"),
        "--default-ulimit=nofile=4096:8192",
    ]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        docker = Docker(program, folder / "socket")
        wait(docker, daemon, folder / "log")
        yield docker
    finally:
        daemon.terminate()
        daemon.wait(DAEMON_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def wait(docker: Docker, daemon: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the daemon answers."""
    deadline = time.monotonic() + DAEMON_SECONDS
    while not docker("version", "--format", "{{.Server.Version}}", check=False).strip():
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise NoDocker(f"a Docker daemon cannot run here: {last}")
        time.sleep(0.1)
