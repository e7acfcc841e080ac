"""A federation of separate processes on this machine: one server, one warm process per site."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbfed_site.contracts import NbfedError, ServerLost, SiteFailed, canonical_json, error_kind

from ..rounds.quorum import Quorum
from .events import Event, utc_now
from .folder import RunFolder
from .site_settings import site_settings

_RESTARTS = 3
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 10.0
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(slots=True)
class LocalFederation:
    """Starts the processes of one run, passes on what they tell, and ends them.

    ``on_event`` is called from the thread of :meth:`run` with every event; each has ``event``, ``at``
    and ``source`` (``server``, ``here`` or a site's name).
    """

    folder: RunFolder
    on_event: Callable[[Event], None]
    news: queue.Queue[Event] = field(default_factory=queue.Queue)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    stopping: bool = False

    def run(self) -> None:
        """Run to the end.

        Raises:
            NbfedError: why the run could not be finished; all that was finished is kept.
            KeyboardInterrupt: passed on after every process has ended.
        """
        try:
            with self.folder.events.open("ab") as log:
                self._start("server", self._server_command(), Path("."))
                self._watch(log.write)
        finally:
            self._stop_all()

    def _watch(self, keep: Callable[[bytes], object]) -> None:
        failure: NbfedError | None = None
        while True:
            event = self.news.get()
            keep(canonical_json(event) + b"\n")
            self.on_event(event)
            kind, source = event["event"], event["source"]
            if kind == "listening":
                self._start_sites(event["address"])
            elif kind == "stopped" and source == "server":
                failure = _failure(event)
            elif kind == "exited" and source != "server":
                if event["status"] != 0 and not self._restart(source):
                    raise self._site_lost(source)
            elif kind == "exited":
                if failure is not None:
                    raise failure
                if event["status"] != 0:
                    raise self._server_lost(event["status"])
                return

    def _server_lost(self, status: int) -> ServerLost:
        log = self.folder.server / "log.txt"
        return ServerLost(
            f"The server process ended with status {status}.",
            where=str(log) + last_lines(log),
            hint=f"Finished rounds are kept; go on with: nbfed run --resume {self.folder.path}",
        )

    def _site_lost(self, name: str) -> SiteFailed:
        log = self.folder.site(name) / "log.txt"
        return SiteFailed(
            f"The process of {name} ended {_RESTARTS + 1} times, and the quorum needs it.",
            where=str(log) + last_lines(log),
            hint=f"Mend this, then go on with: nbfed run --resume {self.folder.path}",
        )

    # -- processes ----------------------------------------------------------------------------

    def _server_command(self) -> list[str]:
        return [sys.executable, "-m", "notebook_federator.federation.server", str(self.folder.path)]

    def _start_sites(self, address: str) -> None:
        settings = self.folder.settings()
        for member in settings.members:
            path = self.folder.site(member.name) / "settings.json"
            path.write_bytes(canonical_json(site_settings(self.folder, settings, member, address)))
            self._start_site(member.name)

    def _start_site(self, name: str) -> None:
        if self.stopping:
            return
        folder = self.folder.site(name)
        settings = folder.resolve() / "settings.json"
        command = [sys.executable, "-m", "nbfed_site", "up", "--settings", str(settings)]
        self._start(name, command, folder)

    def _start(self, source: str, command: list[str], working: Path) -> None:
        """Start one process; its standard output is its events, its standard error its log.

        Its standard input is a pipe that nothing is written to: when this process dies in any way,
        the pipe closes and the child ends itself.
        """
        log_folder = self.folder.server if source == "server" else self.folder.site(source)
        with (log_folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=working,
                env={**os.environ, **_QUIET},
                start_new_session=True,
            )
        self.processes[source] = process
        threading.Thread(target=self._listen, args=(source, process), daemon=True).start()
        self._tell("process", source, pid=process.pid)

    def _listen(self, source: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "said", "at": utc_now(), "text": line.decode(errors="replace").rstrip()}
            self.news.put({**event, "source": source})
        self._tell("exited", source, status=process.wait())

    def _tell(self, kind: str, source: str, **body: Any) -> None:
        self.news.put({"event": kind, "at": utc_now(), "source": source, **body})

    def _restart(self, name: str) -> bool:
        """A site process that died comes back, as a container with a restart policy would.

        Returns False where it has died too often, and too few sites are left for a quorum.
        """
        attempt = self.restarts[name] = self.restarts.get(name, 0) + 1
        if attempt <= _RESTARTS:
            threading.Timer(_RESTART_SECONDS * attempt, self._start_site, [name]).start()
            self._tell("restarting", name, attempt=attempt)
            return True
        settings = self.folder.settings()
        gone = sum(count > _RESTARTS for count in self.restarts.values())
        return len(settings.members) - gone >= Quorum(settings.quorum).of(len(settings.members))

    def _stop_all(self) -> None:
        """End every process: politely, and after some seconds for good."""
        self.stopping = True
        running = [process for process in self.processes.values() if process.poll() is None]
        for process in running:
            process.terminate()
        until = time.monotonic() + _STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _failure(event: Event) -> NbfedError | None:
    """The error that a server's ``stopped`` event tells of; None where it was stopped on request."""
    if not event["code"]:
        return None
    return error_kind(event["code"])(event["what"], where=event["where"], hint=event["hint"])


def last_lines(path: Path, count: int = 15) -> str:
    """The last lines of a log, indented; empty where there is none."""
    if not path.exists():
        return ""
    lines = path.read_text(errors="replace").splitlines()[-count:]
    return "".join(f"\n    {line}" for line in lines)
