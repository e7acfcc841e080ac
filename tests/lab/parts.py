"""Servers and sites as processes that can be killed, frozen, thawed, stopped and started again."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NURSERY = Path(__file__).with_name("nursery.py")
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Hang(AssertionError):
    """Something did not happen before its deadline."""


class Nursery:
    """The warm parent of most processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(NURSERY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | THREADS,
        )
        self._ask("")

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            if line:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            return self._process.stdout.readline().strip()

    def fork(self, **wanted: Any) -> int:
        """Start one; its process id."""
        return int(self._ask(json.dumps(wanted)))

    def close(self) -> None:
        """End the parent; its children live on."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@dataclass
class Part:
    """One server or site.

    Attributes:
        cold: the nursery does not fork it; it is started from nothing.
        host: network namespace that it lives in.
        events_at: where it writes its events as JSON lines.
        held: nobody starts it again but the experiment itself.
    """

    name: str
    nursery: Nursery | None
    module: str
    words: list[str]
    environment: dict[str, str]
    log_at: Path
    events_at: Path
    cold: bool = False
    host: str = ""
    pid: int = 0
    handle: int = -1
    starts: int = 0
    held: bool = True
    child: subprocess.Popen[bytes] | None = None

    def start(self, *more: str, **environment: str) -> Part:
        """Start it, or start it again."""
        assert not self.alive
        self.held = False
        Path(f"{self.log_at}.code").unlink(missing_ok=True)
        words = [*self.words, *more]
        given = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            **THREADS,
            **self.environment,
            **environment,
        }
        if self.cold or self.nursery is None:
            with self.log_at.open("ab") as log:
                command = [sys.executable, "-I", "-m", self.module, *words]
                self.child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=given, cwd="/",
                    start_new_session=True,
                )  # fmt: skip
            self.pid = self.child.pid
        else:
            self.child = None
            self.pid = self.nursery.fork(
                module=self.module,
                words=words,
                environment=given,
                folder="/",
                log=str(self.log_at),
                host=self.host,
            )
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1
        with contextlib.suppress(ProcessLookupError):
            self.handle = os.pidfd_open(self.pid)
        self.starts += 1
        return self

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        if self.child is not None:
            return self.child.poll() is None
        if self.handle < 0:
            return False
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """End it, for good."""
        self.thaw()
        self.kill()
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1

    def signal(self, number: int) -> None:
        """Send a signal, if there is anybody to take it."""
        if self.alive:
            signal.pidfd_send_signal(self.handle, number)

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.held = True
        self.signal(signal.SIGKILL)
        self.wait(10)

    def stop(self) -> int | None:
        """As ``docker stop`` does; the exit code."""
        self.held = True
        self.signal(signal.SIGTERM)
        return self.wait(20)

    def freeze(self) -> None:
        """Let it stand still."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; the exit code, None where it was killed.

        Raises:
            Hang: it is still there.
        """
        until = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > until:
                raise Hang(f"{self.name} did not end within {seconds:.0f} s:\n{self.log[-2000:]}")
            time.sleep(0.02)
        if self.child is not None:
            return self.child.returncode
        path = Path(f"{self.log_at}.code")
        return int(path.read_text() or 1) if path.exists() else None

    def failed(self) -> bool:
        """Whether it ended by itself and with an error, so that its container engine starts it again."""
        if self.held or self.alive:
            return False
        code = self.wait(1)
        return code != 0 and not self.held

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self.log_at.read_text(errors="replace") if self.log_at.exists() else ""

    def events(self) -> Iterator[dict[str, Any]]:
        """What happened, as it told."""
        if self.events_at.exists():
            for line in self.events_at.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    with contextlib.suppress(ValueError):
                        yield json.loads(line)

    def has(self, kind: str, **wanted: Any) -> bool:
        """Whether it told such an event."""
        return any(
            event["event"] == kind and all(event.get(key) == value for key, value in wanted.items())
            for event in self.events()
        )

    def until(self, kind: str, seconds: float = 60, **wanted: Any) -> None:
        """Wait until it has told such an event.

        Raises:
            Hang: it did not.
        """
        deadline = time.monotonic() + seconds
        while not self.has(kind, **wanted):
            if time.monotonic() > deadline:
                raise Hang(f"{self.name} told no {kind} {wanted} within {seconds:.0f} s:\n{self.log[-2000:]}")
            time.sleep(0.01)
