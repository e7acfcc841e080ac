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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from nbfed_site.contracts import NbfedError

from ..aggregation import make_strategy
from ..ledger import Entry, Ledger
from ..rounds.deadlines import known_estimates
from ..rounds.loop import Run
from ..rounds.orders import Orders, StopAsked
from ..rounds.signed import newest_receipts
from ..rounds.store import ModelStore
from .events import Event, show, utc_now
from .folder import RunFolder
from .settings import RunSettings

if TYPE_CHECKING:
    from ..rounds.flower import FlowerTransport


@dataclass(frozen=True, slots=True)
class Door:
    """Where the server listens."""

    host: str
    port: int


@dataclass(slots=True)
class Reporter:
    """Keeps facts in the ledger and shows everything; the loop's journal."""

    ledger: Ledger
    show: Callable[[Event], None]

    def record(self, kind: str, /, **body: Any) -> None:
        """Keep a fact for ever; the ledger's observer shows it."""
        self.ledger.append(kind, **body)

    def tell(self, kind: str, /, **body: Any) -> None:
        """Show a passing state."""
        self.show({"event": kind, "at": utc_now(), **body})


class Venue(Protocol):
    """Where, and with whom, a run is conducted.

    Attributes:
        patient: people look after its sites, which wait for a server that ended with an error, and are
            waited for where they fail before round 1.
        grace: seconds for which sites that are away are waited for when the run is over, to hear it.
    """

    @property
    def patient(self) -> bool: ...

    @property
    def grace(self) -> float: ...

    def happened(self, event: Event) -> None:
        """Take in an event of the run; it is shown to people."""

    def ledger(self, run: RunFolder) -> Ledger:
        """Open the run's ledger; each new entry is shown by :meth:`happened`."""

    def listen(self, run: RunFolder, settings: RunSettings) -> FlowerTransport:
        """Open the port for the members."""

    def orders(self) -> Orders:
        """What the coordinator has decided by now."""


def serve(folder: RunFolder, settings: RunSettings, venue: Venue) -> int:
    """Conduct the run in ``folder`` to its end and return the exit code."""
    with venue.ledger(folder) as ledger:
        reporter = Reporter(ledger, venue.happened)
        try:
            _run(folder, settings, venue, reporter)
        except NbfedError as error:
            reporter.record("stopped", code=error.code, what=error.what, where=error.where, hint=error.hint)
            return error.exit_code
        except StopAsked as asked:
            what = str(asked) or "Stopped on request."
            reporter.record("stopped", code="", what=what, where="", hint="")
            return 0 if venue.orders().stopped else 130
    return 0


def _run(folder: RunFolder, settings: RunSettings, venue: Venue, reporter: Reporter) -> None:
    manifest = folder.manifest()
    strategy = make_strategy(settings.strategy, folder.server)
    transport, over = venue.listen(folder, settings), True
    try:
        reporter.record(
            "started",
            notebook=manifest.notebook,
            notebook_digest=manifest.notebook_digest,
            slice_digest=manifest.slice_digest,
            settings=settings.to_json(),
        )
        reporter.tell("listening", address=transport.address)
        wishes = [item.name for item in manifest.parameters if item.meaning == "other"]
        loop_settings = replace(settings.for_rounds(strategy.task_config(), wishes), patient=venue.patient)
        store = ModelStore(folder.models)
        told = [(entry.kind, entry.body) for entry in reporter.ledger.entries()]
        known = newest_receipts(told), known_estimates(told)
        Run(loop_settings, transport, strategy, store, reporter, time.monotonic, venue.orders, *known).go()
    except StopAsked:
        over = venue.orders().stopped
        raise
    except Exception:
        over = not venue.patient
        raise
    finally:
        grace = venue.grace
        transport.close(over, grace, lambda away: reporter.tell("parting", sites=away, seconds_left=grace))


@dataclass(frozen=True, slots=True)
class FixedVenue:
    """Members and keys (PEM, by name) that are known from the start, and do not change."""

    door: Door
    keys: Mapping[str, bytes]
    happened: Callable[[Event], None]
    patient: bool = False
    grace: float = 0.0

    def ledger(self, run: RunFolder) -> Ledger:
        """The run's ledger, unsigned."""

        def show_entry(entry: Entry) -> None:
            self.happened({"event": entry.kind, "at": entry.at, **entry.body})

        return Ledger(run.ledger, utc_now, show_entry)

    def orders(self) -> Orders:
        """All members, always."""
        keys = {site: key.decode() for site, key in self.keys.items()}
        return Orders(tuple(sorted(keys)), keys=keys)

    def listen(self, run: RunFolder, settings: RunSettings) -> FlowerTransport:
        """Open the port, for this machine alone."""
        from ..rounds.flower import FlowerTransport

        return FlowerTransport(
            host=self.door.host,
            port=self.door.port,
            site_keys=self.keys,
            folder=run.server / "spool",
            wire=settings.wire,
            heartbeat_seconds=settings.heartbeat,
        )


def _local_keys(folder: RunFolder, settings: RunSettings) -> dict[str, bytes]:
    """Each site's public key; on this machine the server makes the pairs that its sites will use."""
    from nbfed_site.link import generate_key, public_key

    paths = {member.name: folder.site(member.name) / "key.pem" for member in settings.members}
    return {name: public_key(path) if path.exists() else generate_key(path) for name, path in paths.items()}


def end_on_signals() -> None:
    """Have SIGTERM and SIGINT raise :class:`StopAsked`: the run ends and keeps what is done."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise StopAsked

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)


def main(arguments: list[str]) -> int:
    """Entry point of the process that ``nbfed run`` starts."""
    end_on_signals()
    threading.Thread(target=_follow_parent, daemon=True).start()
    folder = RunFolder(Path(arguments[0]))
    settings = folder.settings()
    door = Door("127.0.0.1", settings.port)
    venue = FixedVenue(door, _local_keys(folder, settings), lambda event: show(sys.stdout, event))
    return serve(folder, settings, venue)


def _follow_parent() -> None:
    """End the run when standard input closes: the process that started this one is gone."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
