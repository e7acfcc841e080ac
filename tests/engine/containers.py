"""The two images' programs as processes of this machine, each as an unprivileged user where root allows."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SITE = ["-m", "nbfed_site"]
USER = 61_713 + os.getpid() % 1000  # in no passwd file; another beside other test runs


def as_user(command: list[str]) -> list[str]:
    """``command`` as a user without rights; it may read all, as the interpreter may lie in root's home."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        return command
    user, read_all = str(USER), "+dac_read_search"
    given = ["--inh-caps", read_all, "--ambient-caps", read_all]
    return ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", *given, "--no-new-privs", *command]


def give(folder: Path) -> Path:
    """A folder that the unprivileged user may write."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        os.chown(folder, USER, USER)
    return folder


@dataclass
class Container:
    """One program with its scratch folder; ``environment`` is all that it inherits."""

    program: list[str]
    scratch: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return as_user([sys.executable, "-I", *self.program, *words])

    def _environment(self) -> dict[str, str]:
        own = {"NBFED_SCRATCH": str(give(self.scratch)), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
        return own | {"PYTHONPATH": "/nowhere"} | self.environment

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(words),
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=120,
            cwd="/",
            check=False,
        )

    def start(self, *words: str) -> "Container":
        with (self.scratch.parent / f"{self.scratch.name}.log").open("a") as log:
            self.process = subprocess.Popen(
                self._command(words), env=self._environment(), stdout=log, stderr=log, text=True, cwd="/"
            )
        return self

    @property
    def log(self) -> str:
        return (self.scratch.parent / f"{self.scratch.name}.log").read_text()

    def events(self) -> Iterator[dict]:
        for path in (self.scratch / "events.jsonl", self.scratch / "run/events.jsonl"):
            if path.exists():
                yield from (
                    json.loads(line)
                    for line in path.read_text().splitlines(keepends=True)
                    if line.endswith("\n")
                )

    def until(self, kind: str, seconds: float = 90, **wanted: object) -> dict:
        deadline = time.monotonic() + seconds
        while True:
            for event in self.events():
                if event["event"] == kind and all(event.get(key) == value for key, value in wanted.items()):
                    return event
            assert self.process is None or self.process.poll() in (None, 0), self.log
            assert time.monotonic() < deadline, f"no {kind}: {self.log}"
            time.sleep(0.05)

    def end(self, seconds: float = 60) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
