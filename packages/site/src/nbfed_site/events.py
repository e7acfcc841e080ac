"""What happens at a site, told: as JSON lines to machines, as sentences to the site's operator."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO, TextIO

from .contracts import SiteState, canonical_json

Tell = Callable[[str, Mapping[str, Any]], None]
_SENTENCES = {
    "approved": "May run here: {image}",
    "joined": "Joined {federation} as {site}; the certificate is good for {days} days",
    "connected": "Connected to {server}",
    "disconnected": "Not connected, trying again: {cause}",
    "received": "Round {round}: the server asks to {kind} ({bytes:,} bytes came)",
    "preparing": "Reading the data",
    "card": "Shown to the server, counts only: {samples} samples; unreadable {unreadable}",
    "unfit": "Mend the data (looked at again every minute), or have the coordinator waive it: {what}",
    "canary": "Trying a few batches, to tell how long a round takes here",
    "evaluating": "Round {round}: evaluating",
    "training": "Round {round}: training",
    "kept": "Round {round}: trained already; the same update goes out again",
    "progress": "Round {round}: {phase}, epoch {epoch} of {epochs}",
    "evaluated": "Round {round}: evaluated on {examples} samples",
    "replied": "Sent {bytes:,} bytes",
    "dropped": "Not sent: {reason}",
    "failed": "Failed, and said so to the server: {code} {what}",
    "stopped": "Stopped: {cause}",
}


class EventLog:
    """JSON lines on a stream of their own: what the notebook prints cannot mix with them."""

    def __init__(self, target: str | int, leave_out: tuple[str, ...] = ()) -> None:
        self._lock, self._leave_out = threading.Lock(), leave_out
        self._stream: BinaryIO = open(os.dup(1) if target == 1 else target, "ab", buffering=0)  # noqa: SIM115
        if target == 1:
            os.dup2(2, 1)

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write one event at once; a reader that is gone is no error."""
        if event in self._leave_out:
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._lock, suppress(OSError):
            self._stream.write(canonical_json({**fields, "event": event, "at": at}) + b"\n")


class Narrator:
    """One line of text for each event that an operator wants to know of, and none twice in a row."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out, self._last, self._round = out, "", 0

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tell one event; a reader that is gone is no error."""
        self._round = fields.get("round", self._round)
        known = event in _SENTENCES and (event != "progress" or fields["phase"] == "train")
        spoken = {name: _spoken(value) for name, value in {"round": self._round, **fields}.items()}
        text = _SENTENCES[event].format_map(spoken).replace("Round 0: the", "The") if known else ""
        if text and text != self._last:
            self._last = text
            with suppress(OSError):
                print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}  {text}", file=self._out, flush=True)


def _spoken(value: Any) -> Any:
    """Counts by name as words: ``train 85, test 171``."""
    return ", ".join(f"{name} {count}" for name, count in value.items()) if isinstance(value, dict) else value


class Standing:
    """Where the site stands, by all that it tells; read by another thread than it is told in."""

    def __init__(self) -> None:
        self.state = SiteState("joined")

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take an event in."""
        self.state = state_after(self.state, event, fields)

    def header(self) -> str:
        """The state as one line of JSON."""
        return self.state.header()


def state_after(before: SiteState, event: str, fields: Mapping[str, Any]) -> SiteState:
    """The state of a site that stood at ``before`` when ``event`` happened."""
    number = fields.get("round", before.round)
    match event:
        case "preparing" | "training" | "evaluating":
            return SiteState(event, number)
        case "canary":
            return SiteState("preparing", number)
        case "progress" if fields["phase"] == "train":
            return SiteState("training", number, fields["epoch"], fields["epochs"])
        case "released" | "failed":
            return SiteState("sending", number)
        case "replied" | "dropped":
            return SiteState("waiting" if number else "described", number)
    return before if number == before.round else SiteState(before.stage, number)
