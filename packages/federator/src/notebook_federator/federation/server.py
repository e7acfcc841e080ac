"""The server process of a run: ``python -m notebook_federator.federation.server FOLDER``.

Writes what happens to standard output as JSON lines: ledger entries, passing states, and at the end an
``error`` where the run could not be finished.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from nbfed_site.contracts import NbfedError

from ..aggregation import make_strategy
from ..ledger import Entry, Ledger
from ..rounds.loop import Run
from ..rounds.store import ModelStore
from .events import show, utc_now
from .folder import RunFolder
from .settings import RunSettings


class StopAsked(Exception):
    """The process was asked to end."""


@dataclass(slots=True)
class Reporter:
    """Keeps facts in the ledger and shows everything on ``out``; the loop's journal."""

    ledger: Ledger
    out: TextIO

    def record(self, kind: str, /, **body: Any) -> None:
        """Keep a fact for ever; the ledger's observer shows it."""
        self.ledger.append(kind, **body)

    def tell(self, kind: str, /, **body: Any) -> None:
        """Show a passing state."""
        show(self.out, {"event": kind, "at": utc_now(), **body})


def serve(folder: RunFolder, out: TextIO) -> int:
    """Run the federation in ``folder`` to its end and return the exit code."""

    def show_entry(entry: Entry) -> None:
        show(out, {"event": entry.kind, "at": entry.at, **entry.body})

    with Ledger(folder.ledger, utc_now, show_entry) as ledger:
        reporter = Reporter(ledger, out)
        try:
            _run(folder, reporter)
        except NbfedError as error:
            reporter.record("stopped", code=error.code, what=error.what, where=error.where, hint=error.hint)
            return error.exit_code
        except StopAsked:
            reporter.record("stopped", code="", what="Stopped on request.", where="", hint="")
            return 130
    return 0


def _run(folder: RunFolder, reporter: Reporter) -> None:
    from ..rounds.flower import FlowerTransport

    settings, manifest = folder.settings(), folder.manifest()
    strategy = make_strategy(settings.strategy, folder.server)
    transport = FlowerTransport(
        host="127.0.0.1",
        port=settings.port,
        site_keys=_site_keys(folder, settings),
        folder=folder.server / "spool",
        wire=settings.wire,
        heartbeat_seconds=settings.heartbeat,
    )
    try:
        reporter.record(
            "started",
            notebook=manifest.notebook,
            notebook_digest=manifest.notebook_digest,
            slice_digest=manifest.slice_digest,
            settings=settings.to_json(),
        )
        reporter.tell("listening", address=transport.address)
        loop_settings = settings.for_rounds(strategy.task_config())
        Run(loop_settings, transport, strategy, ModelStore(folder.models), reporter, time.monotonic).go()
    finally:
        transport.close()


def _site_keys(folder: RunFolder, settings: RunSettings) -> dict[str, bytes]:
    """Each site's public key; on this machine the server makes the pairs that its sites will use."""
    from nbfed_site.link import generate_key, public_key

    paths = {member.name: folder.site(member.name) / "key.pem" for member in settings.members}
    return {name: public_key(path) if path.exists() else generate_key(path) for name, path in paths.items()}


def main(arguments: list[str]) -> int:
    """Entry point of the process; SIGTERM and SIGINT end the run and keep what is done."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise StopAsked

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    threading.Thread(target=_follow_parent, daemon=True).start()
    return serve(RunFolder(Path(arguments[0])), sys.stdout)


def _follow_parent() -> None:
    """End the run when standard input closes: the process that started this one is gone."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
