"""Where a federation stands at this moment: fed with all that happens, asked by the coordinator. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from ..ledger import Entry
from ..rounds import port
from .events import Event
from .membership import Membership, SiteRecord

SCHEMA_VERSION = 1
_QUIET_SECONDS = 15.0

Stage = Literal[
    "invited",
    "joined",
    "image verified",
    "data verified",
    "configured",
    "training",
    "evaluating",
    "sent",
    "lost",
    "failed",
    "dropped",
    "removed",
]
RunState = Literal["waiting", "running", "paused", "finished", "stopped"]
_GONE = ("lost", "failed", "dropped")


@dataclass(slots=True)
class SiteLive:
    """One site: its stage, since when (UTC, ISO 8601), and what keeps it from the next, if known."""

    stage: Stage
    since: str
    round: int = 0
    epoch: int = 0
    epochs: int = 0
    cause: str = ""

    def to(self, stage: Stage, at: str, cause: str = "", **numbers: int) -> None:
        """Take note of a stage."""
        if stage != self.stage or any(getattr(self, name) != value for name, value in numbers.items()):
            self.since = at
        self.stage, self.cause, self.epoch, self.epochs = stage, cause, 0, 0
        for name, value in numbers.items():
            setattr(self, name, value)


@dataclass(slots=True)
class Live:
    """The federation as it is now; one thread at a time feeds it."""

    run: int
    rounds: int = 0
    quorum: int = 0
    seconds: float | None = None
    federation: str = ""
    state: RunState = "waiting"
    round: int = 0
    deadline: str | None = None
    sites: dict[str, SiteLive] = field(default_factory=dict)
    entries: int = 0
    head: str = ""

    # -- what is fed in -----------------------------------------------------------------------

    def see_decision(self, entry: Entry, membership: Membership) -> None:
        """Take in an entry of the federation's ledger, and what the membership is after it."""
        self.federation = membership.name
        record = membership.sites.get(str(entry.body.get("site", "")))
        if record is not None:
            self._see_record(record, entry)

    def _see_record(self, record: SiteRecord, entry: Entry) -> None:
        site = self.sites.setdefault(record.name, SiteLive("invited", entry.at))
        if record.removed is not None:
            site.to("removed", entry.at, record.removed, round=0)
        elif entry.kind == "join_refused":
            site.cause = f"a join was refused: {entry.body['reason']}"
        elif not record.key:
            site.to("invited", entry.at, "" if record.kit else "no kit was made for it", round=0)
        elif entry.kind == "site_joined" and site.stage in ("invited", "removed"):
            site.to("joined", entry.at, "not connected")

    def see_entry(self, entry: Entry) -> None:
        """Take in an entry of the run's ledger."""
        self.entries, self.head = entry.sequence + 1, entry.hash

    def see_journal(self, event: Event) -> None:
        """Take in what the round loop records or tells."""
        if "site" in event:
            site = self.sites.setdefault(event["site"], SiteLive("joined", event["at"]))
            if site.stage == "removed":
                return
        if (handle := _JOURNAL.get(event["event"])) is not None:
            handle(self, event)

    def see_transport(self, event: port.Event, at: str) -> None:
        """Take in what a site did just now."""
        site = self.sites.setdefault(event.site, SiteLive("joined", at))
        if site.stage == "removed":
            return
        if isinstance(event, port.Joined):
            site.to("image verified", at)
        elif isinstance(event, port.Lost):
            site.to("lost", at, "not heard of any more")
        elif isinstance(event, port.Failed):
            site.to("failed", at, event.failure.what)
        elif isinstance(event, port.Progressed):
            _progressed(site, event, at)

    # -- what is asked ------------------------------------------------------------------------

    def to_json(self, at: str, heard: Mapping[str, float]) -> dict[str, Any]:
        """The state as plain JSON values; ``heard`` says for how long each site has been silent."""
        return {
            "schema_version": SCHEMA_VERSION,
            "federation": self.federation,
            "at": at,
            "run": {
                "number": self.run,
                "state": self.state,
                "round": self.round,
                "rounds": self.rounds,
                "deadline": self.deadline,
                "quorum": self.quorum,
            },
            "sites": [_site_json(name, site, heard.get(name)) for name, site in sorted(self.sites.items())],
            "ledger": {"entries": self.entries, "head": self.head},
        }


def _site_json(name: str, site: SiteLive, heard: float | None) -> dict[str, Any]:
    quiet = heard is not None and heard > _QUIET_SECONDS and site.stage not in (*_GONE, "removed")
    return {
        "site": name,
        "stage": site.stage,
        "round": site.round,
        "epoch": site.epoch,
        "epochs": site.epochs,
        "since": site.since,
        "heard_seconds": None if heard is None else round(heard, 1),
        "cause": site.cause or (f"not heard of for {heard:.0f} s" if quiet else ""),
    }


def _progressed(site: SiteLive, event: port.Progressed, at: str) -> None:
    state = event.state
    if state.stage in ("training", "evaluating"):
        stage: Stage = "training" if state.stage == "training" else "evaluating"
        site.to(stage, at, round=state.round, epoch=state.epoch, epochs=state.epochs)
    elif state.stage == "preparing" and site.stage in ("joined", "image verified"):
        site.cause = "reads its data"


# -- the round loop's journal, kind by kind ---------------------------------------------------


def _started(live: Live, event: Event) -> None:
    settings = event["settings"]
    live.rounds, live.seconds, live.state = settings["rounds"], settings["deadline"], "waiting"


def _card(live: Live, event: Event) -> None:
    unfit = event["card"].get("unfit", ())
    if unfit:
        live.sites[event["site"]].cause = f"its data does not fit: {' '.join(unfit)}"
    else:
        live.sites[event["site"]].to("data verified", event["at"])


def _stage(stage: Stage) -> Callable[[Live, Event], None]:
    def handle(live: Live, event: Event) -> None:
        live.sites[event["site"]].to(stage, event["at"], event.get("reason", ""))

    return handle


def _received(live: Live, event: Event) -> None:
    site = live.sites[event["site"]]
    if event["task"] in ("train", "canary") and site.stage not in ("training", "evaluating"):
        site.to("configured", event["at"], round=event["round"])


def _update(live: Live, event: Event) -> None:
    live.sites[event["site"]].to("sent", event["at"], round=event["round"])


def _waiting(live: Live, event: Event) -> None:
    for name, why in event.get("why", dict.fromkeys(event["sites"], "not connected")).items():
        if name in live.sites and not live.sites[name].cause:
            live.sites[name].cause = why
    live.quorum = event["quorum"]


def _round_started(live: Live, event: Event) -> None:
    live.state, live.round, live.quorum = "running", event["round"], event.get("quorum", live.quorum)
    live.deadline = None
    if (seconds := event.get("deadline", live.seconds)) is not None:
        at = datetime.fromisoformat(event["at"]) + timedelta(seconds=seconds)
        live.deadline = at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _deadline(live: Live, event: Event) -> None:
    live.seconds = event["seconds"]


def _to_state(state: RunState) -> Callable[[Live, Event], None]:
    def handle(live: Live, event: Event) -> None:
        live.state, live.deadline = state, None

    return handle


def _resumed(live: Live, event: Event) -> None:
    live.round = event["round"]
    live.state = "running" if event.get("after") == "pause" else live.state


_JOURNAL: Mapping[str, Callable[[Live, Event], None]] = {
    "started": _started,
    "card": _card,
    "waived": _stage("data verified"),
    "canary": _stage("configured"),
    "received": _received,
    "update": _update,
    "dropped": _stage("dropped"),
    "waiting": _waiting,
    "round_started": _round_started,
    "deadline": _deadline,
    "paused": _to_state("paused"),
    "resumed": _resumed,
    "finished": _to_state("finished"),
    "stopped": _to_state("stopped"),
}
