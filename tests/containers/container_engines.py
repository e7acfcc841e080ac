"""Container engines as the tests drive them, and Apptainer's constraints without Apptainer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

DOCKER = "/usr/bin/docker"  # Debian's; another client earlier in PATH may lack what BuildKit needs
UID = 12345  # nobody's, in no passwd file
HARDENED = (
    *("--user", f"{UID}:{UID}", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
)
DAEMON_SECONDS = 30.0
Finished = subprocess.CompletedProcess[str]


class NotHere(Exception):
    """This machine cannot have it; the words say why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Docker or Podman.

    Attributes:
        command: the program and its global options.
        pull_options, run_options: what the verbs need on this machine.
        hardened: how a hospital runs a container: unprivileged, nothing writable but what is mounted.
    """

    name: str
    command: tuple[str, ...]
    pull_options: tuple[str, ...] = ()
    run_options: tuple[str, ...] = ()
    hardened: tuple[str, ...] = HARDENED
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, check: bool = True, timeout: float = 120) -> Finished:
        """Run one command; its output goes into the error where it fails."""
        return finished([*self.command, *words], self.environment, check, timeout)

    def pull(self, reference: str) -> None:
        """Pull an image from a registry of this machine."""
        self("pull", "--quiet", *self.pull_options, reference)

    def run(self, image: str, *words: str, options: Sequence[str] = (), check: bool = True) -> Finished:
        """Run a container to its end, hardened; ``options`` come before the image, ``words`` after it."""
        fixed = ("run", "--rm", *self.run_options, *self.hardened)
        return self(*fixed, *options, image, *words, check=check)

    def start(self, image: str, *words: str, options: Sequence[str] = ()) -> str:
        """Start a hardened container that stays; returns its id."""
        fixed = ("run", "--detach", *self.run_options, *self.hardened)
        return self(*fixed, *options, image, *words).stdout.split()[-1]


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An image as a folder, run under Apptainer's constraints by bubblewrap.

    The root is read-only, the caller's uid, environment and a home folder are kept, nobody switches users.
    """

    root: Path
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]

    def run(self, *words: str, binds: Sequence[str] = (), check: bool = True) -> Finished:
        """Run the image's entry point; ``binds`` are further options of bwrap."""
        return finished(self.line(*words, binds=binds), self.caller(), check, 120)

    def line(self, *words: str, binds: Sequence[str] = ()) -> list[str]:
        """The command; as an unprivileged uid where the caller is root."""
        other = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups") if os.getuid() == 0 else ()
        walls = ("bwrap", "--unshare-user", "--die-with-parent", "--ro-bind", str(self.root), "/")
        devices = ("--proc", "/proc", "--dev", "/dev", *binds)
        return [*other, *walls, *devices, *self.entrypoint, *words]

    def caller(self) -> dict[str, str]:
        """The caller's environment, with what breaks careless images, and the image's own over it."""
        return {"HOME": "/nowhere", "PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere", **self.environment}


def unpack(reference: str, folder: Path) -> Unpacked:
    """Unpack an image of a registry on this machine into ``folder``, which anybody may read."""
    finished(
        [
            "skopeo",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            f"docker://{reference}",
            f"oci:{folder}/oci:it",
        ]
    )
    finished(["umoci", "unpack", "--rootless", "--image", f"{folder}/oci:it", f"{folder}/bundle"])
    (folder / "bundle").chmod(0o755)
    config = json.loads(finished(["skopeo", "inspect", "--config", f"oci:{folder}/oci:it"]).stdout)["config"]
    environment = dict(line.split("=", 1) for line in config.get("Env", ()))
    return Unpacked(folder / "bundle" / "rootfs", tuple(config.get("Entrypoint") or ()), environment)


def finished(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float = 120,
) -> Finished:
    """Run a command to its end; one that fails raises AssertionError with all it said."""
    found = subprocess.run(
        command,
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert not check or found.returncode == 0, f"{' '.join(command)}\n{found.stdout}\n{found.stderr}"
    return found


@contextmanager
def docker_engine() -> Iterator[Engine]:
    """Docker: the daemon that runs, else one of our own where root may start it.

    Raises:
        NotHere: neither.
    """
    if reason := missing(DOCKER):
        raise NotHere(f"no Docker here ({reason})")
    plain = Engine("docker", (DOCKER,), environment={"DOCKER_BUILDKIT": "1"})
    if plain("info", check=False).returncode == 0:
        yield plain
        return
    with tempfile.TemporaryDirectory(prefix="nbfed-docker-", ignore_cleanup_errors=True) as folder:
        daemon = _start_daemon(Path(folder))
        try:
            there = {"DOCKER_HOST": f"unix://{folder}/socket"}
            own = Engine("docker", (DOCKER,), environment={**plain.environment, **there})
            _wait_for_daemon(own, daemon, Path(folder) / "log")
            yield own
        finally:
            daemon.terminate()
            daemon.wait(DAEMON_SECONDS)


def _start_daemon(folder: Path) -> subprocess.Popen[bytes]:
    """Start a Docker daemon whose every file is in ``folder``."""
    if os.getuid() != 0:
        raise NotHere("no Docker daemon answers, and only root may start one")
    if reason := missing("dockerd", "iptables"):
        raise NotHere(f"no Docker daemon answers, and none can be started ({reason})")
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    own = [f"--{option}={folder / name}" for option, name in places.items()]
    command = ["dockerd", *own, f"--host=unix://{folder}/socket", "--default-ulimit=nofile=4096:8192"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def _wait_for_daemon(engine: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the daemon answers."""
    deadline = time.monotonic() + DAEMON_SECONDS
    while engine("info", check=False).returncode != 0:
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise NotHere(f"a Docker daemon cannot run here: {last}")
        time.sleep(0.1)


@contextmanager
def podman_engine() -> Iterator[Engine]:
    """Podman with storage of its own; runc, and limits that it may set, let it run in small machines.

    Raises:
        NotHere: it is not installed, or does not run.
    """
    if reason := missing("podman", "runc"):
        raise NotHere(f"no Podman here ({reason})")
    with tempfile.TemporaryDirectory(prefix="nbfed-podman-", ignore_cleanup_errors=True) as folder:
        engine = Engine(
            "podman",
            (
                *("podman", f"--root={folder}/root", f"--runroot={folder}/run", "--runtime=runc"),
                f"--network-config-dir={folder}/networks",
            ),
            pull_options=("--tls-verify=false",),
            run_options=("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"),
            hardened=(*HARDENED, "--read-only-tmpfs=false"),
        )
        if (found := engine("info", check=False)).returncode != 0:
            raise NotHere(f"Podman does not run here: {found.stderr.strip()}")
        yield engine
        engine("rm", "--all", "--force", check=False)
        engine("image", "rm", "--all", "--force", check=False)


def forget_images(engine: Engine, registry: str) -> None:
    """Remove the images that came from a registry of the tests."""
    found = engine("image", "ls", "--quiet", "--filter", f"reference={registry}/*", check=False).stdout
    if names := sorted(set(found.split())):
        engine("image", "rm", "--force", *names, check=False)


def missing(*programs: str) -> str | None:
    """Why a fixture cannot be had: the programs that are not installed; None where all are."""
    absent = [name for name in programs if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None
