"""What a server says while it runs: every event to a file, and to people or machines that look on."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field
from typing import BinaryIO

from nbfed_site.contracts import NbfedError, canonical_json
from nbfed_site.scratch import Health

from .events import Event, show
from .narration import RunView

_DECISIONS = {
    "site_joined": "{site} has joined the federation; its certificate ends on {expires:.10}",
    "join_refused": "{site} may not join: {reason}",
    "site_added": "{site} was added to the federation",
    "site_removed": "{site} was removed from the federation: {reason}",
    "waived": "{site} may train although its data does not fit: {reason}",
    "ordered": "the coordinator orders: {order}",
}


@dataclass(slots=True)
class Teller:
    """Keeps every event in ``log``; tells it on standard output as JSON, or on standard error in words.

    Several threads may call.
    """

    log: BinaryIO
    health: Health
    as_json: bool
    view: RunView = field(default_factory=RunView)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Event) -> None:
        """Take one event of the server."""
        full = {**event, "source": "server"}
        with self._lock:
            if event["event"] == "listening":  # known before anybody is told
                self.health.write("listening", address=event["address"])
            self.log.write(canonical_json(full) + b"\n")
            self.log.flush()
            if self.as_json:
                show(sys.stdout, full)
            elif sentence := self.view.see(full) or server_sentence(event):
                print(f"{event['at'][:19]}Z  {sentence}", file=sys.stderr, flush=True)


def server_sentence(event: Event) -> str:
    """What only a server on a network has to say; empty of any other event."""
    if event["event"] == "listening":
        return f"listening on {event['address']}"
    if event["event"] == "stopped":
        error = NbfedError(event["what"], where=event["where"], hint=event["hint"])
        return f"{event['code']} {error}".lstrip()
    if event["event"] == "turned_away":
        times = "" if event["count"] == 1 else f", {event['count']} times"
        return f"{event['address']} was not let in: {event['reason']}{times}"
    if event["event"] == "decided":
        return _DECISIONS.get(event["kind"], "").format(**event["body"])
    return str(event["what"]) if event["event"] == "trouble" else ""
