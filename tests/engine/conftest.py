"""A real server on a free port and light sites, in threads or in processes of their own."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from nbfed_site.contracts import NbfedError, RoundInput, RoundOutput, SiteFailure
from nbfed_site.link import LinkSettings, generate_key, run
from notebook_federator.rounds.flower import FlowerTransport
from notebook_federator.rounds.port import Event, Joined, Replied

DEADLINE = 60.0
Handle = Callable[[RoundInput], RoundOutput]


def echo(task: RoundInput) -> RoundOutput:
    return RoundOutput(task.task_id, task.kind, task.round, num_examples=5, arrays=task.arrays)


def describe(error: BaseException) -> SiteFailure:
    code = error.code if isinstance(error, NbfedError) else "NE601"
    return SiteFailure(code, str(error), exception=type(error).__name__)


@dataclass
class Federation:
    """One server, and what its sites said."""

    folder: Path
    names: tuple[str, ...] = ("a", "b", "c")
    wire: Any = "fp32"
    heartbeat: float = 0.5
    port: int = 0
    told: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    seen: list[Event] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.keys = {name: generate_key(self.folder / f"{name}.pem") for name in self.names}
        self.transport = self.new_transport()

    def new_transport(self) -> FlowerTransport:
        return FlowerTransport(
            "127.0.0.1",
            self.port,
            self.keys,
            self.folder / "spool",
            wire=self.wire,
            heartbeat_seconds=self.heartbeat,
        )

    def settings(self, name: str, **changes: Any) -> LinkSettings:
        values = {"wire": self.wire, "heartbeat_seconds": self.heartbeat, "give_up_seconds": 30.0, **changes}
        return LinkSettings(self.transport.address, name, self.folder / f"{name}.pem", **values)

    def start(self, handle: Handle = echo, names: Sequence[str] | None = None) -> None:
        """Sites as threads of this process."""
        for name in names or self.names:

            def tell(kind: str, facts: Any, name: str = name) -> None:
                self.told.append((name, kind, dict(facts)))

            arguments = (self.settings(name), handle, self.stop, tell, describe)
            self.threads.append(threading.Thread(target=run, args=arguments, daemon=True))
            self.threads[-1].start()
        self.await_joined(names or self.names)

    def spawn(self, name: str, behaviour: str = "echo") -> subprocess.Popen[str]:
        """A site as a process."""
        program = Path(__file__).with_name("site_process.py")
        command = [sys.executable, str(program), self.transport.address, name, str(self.folder), behaviour]
        self.processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return self.processes[-1]

    def wait(self, wanted: Callable[[Event], bool]) -> Event:
        """The next event that is ``wanted``; the others are kept in ``seen``."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            for event in self.transport.events(0.2):
                self.seen.append(event)
                if wanted(event):
                    return event
        raise AssertionError(f"nothing of that kind came; seen: {self.seen}, told: {self.told}")

    def await_joined(self, names: Sequence[str]) -> None:
        missing = set(names)
        while missing:
            event = self.wait(lambda event: isinstance(event, Joined))
            missing.discard(event.site)

    def replies(self, count: int) -> dict[str, Replied]:
        found: dict[str, Replied] = {}
        while len(found) < count:
            event = self.wait(lambda event: isinstance(event, Replied))
            assert isinstance(event, Replied)
            found[event.site] = event
        return found

    def close(self) -> None:
        self.transport.close()
        self.stop.set()
        for thread in self.threads:
            thread.join(timeout=10)
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def federate(tmp_path: Path) -> Iterator[Callable[..., Federation]]:
    """Make federations that are taken down at the end."""
    made: list[Federation] = []

    def make(**changes: Any) -> Federation:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Federation(folder, **changes))
        return made[-1]

    yield make
    for federation in made:
        federation.close()
