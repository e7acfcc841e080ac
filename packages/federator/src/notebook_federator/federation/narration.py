"""What happens in a run, told in sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .events import Event
from .status_table import span


@dataclass(slots=True)
class SiteView:
    """The latest known of one site."""

    state: str = "starting"
    epoch: int = 0
    epochs: int = 0
    examples: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    megabytes: float = 0.0


@dataclass(slots=True)
class RunView:
    """The latest known of a run, fed with its events; pure."""

    rounds: int = 0
    round: int = 0
    stage: str = "starting"
    sites: dict[str, SiteView] = field(default_factory=dict)

    def see(self, event: Event) -> str | None:
        """Take in an event; return the sentence that is worth a line of its own, if any."""
        handlers = _FROM_SERVER if event["source"] == "server" else _FROM_SITES
        handler = handlers.get(event["event"])
        return handler(self, event) if handler else None

    def site(self, event: Event) -> SiteView:
        """The view of the site that ``event`` concerns."""
        return self.sites.setdefault(event.get("site") or event["source"], SiteView())


def _started(view: RunView, event: Event) -> str:
    settings = event["settings"]
    view.rounds = settings["rounds"]
    for member in settings["members"]:
        view.sites.setdefault(member["name"], SiteView())
    alone = ", then each institution alone" if settings["alone"] else ""
    seconds = settings["deadline"]
    deadline = "from canary rounds" if seconds is None else f"{seconds:g} s a round"
    return (
        f"{event['notebook']}: {len(settings['members'])} sites, {settings['rounds']} rounds of "
        f"{settings['epochs']} epochs, {settings['strategy']['name']}, quorum {settings['quorum']}, "
        f"deadline {deadline}{alone}"
    )


def _state(state: str) -> Any:
    def handle(view: RunView, event: Event) -> None:
        view.site(event).state = state

    return handle


def _joined(view: RunView, event: Event) -> str:
    view.site(event).state = "joined"
    return f"{event['site']} {'is back' if event['again'] else 'joined'}"


def _lost(view: RunView, event: Event) -> str:
    view.site(event).state = "lost"
    return f"{event['site']} is not heard of any more"


def _card(view: RunView, event: Event) -> str:
    card, site = event["card"], view.site(event)
    site.state, site.examples = "data described", card["samples"].get("train", 0)
    known = [name for name in ("train", "validation", "test") if name in card["samples"]]
    splits = ", ".join(_split(name, card["samples"][name], card["classes"].get(name)) for name in known)
    unreadable = sum(card["unreadable"].values())
    notes = [f"{unreadable} unreadable"] if unreadable else []
    return f"{event['site']}: {splits}" + "".join(f"; {note}" for note in [*notes, *card["warnings"]])


def _split(name: str, count: int, classes: Mapping[str, int] | None) -> str:
    per_class = " (" + ", ".join(f"{label}: {n}" for label, n in classes.items()) + ")" if classes else ""
    return f"{name} {count}{per_class}"


def _round_started(view: RunView, event: Event) -> None:
    view.round, view.stage = event["round"], f"round {event['round']} of {view.rounds}"


def _received(view: RunView, event: Event) -> None:
    site = view.site(event)
    site.state = {"train": "training", "evaluate": "evaluating"}.get(event["task"], "preparing")
    site.epoch = 0


def _training(view: RunView, event: Event) -> None:
    site = view.site(event)
    site.state, site.epoch = "training", 0


def _progress(view: RunView, event: Event) -> None:
    site = view.site(event)
    if event["phase"] == "train":
        site.epoch, site.epochs = event["epoch"], event["epochs"]
    elif event["batches"]:
        site.state = f"reading data, {event['batch'] / event['batches']:.0%}"


def _update(view: RunView, event: Event) -> str:
    site = view.site(event)
    site.state, site.examples = "sent", event["num_examples"]
    site.megabytes += (event["bytes_up"] + event["bytes_down"]) / 1e6
    late = f"; {event['late']} rounds late, so it counts less" if event.get("late") else ""
    return (
        f"round {event['round']}: update from {event['site']} ({event['num_examples']} examples, "
        f"{event['elapsed']:.1f} s, {event['bytes_up'] / 1e6:.2f} MB up{late})"
    )


def _evaluation(view: RunView, event: Event) -> None:
    if event["split"] == "test" and event["model"].startswith("round-"):
        view.site(event).metrics = dict(event["evaluation"]["metrics"])


def _round_finished(view: RunView, event: Event) -> str:
    late = {f"{site} (late)": f"{weight:g}" for site, weight in event.get("late", {}).items()}
    who = ", ".join(f"{site} {weight}" for site, weight in (event["weights"] | late).items())
    return f"round {event['round']} of {view.rounds} finished in {event['seconds']:.1f} s (weights: {who})"


def _failed(view: RunView, event: Event) -> str:
    view.site(event).state = "failed"
    source = f": {event['source_line'].strip()}" if event.get("source_line") else ""
    return f"{event['site']} failed in {event['task']}: {event['what']} [{event['where']}]{source}"


def _dropped(view: RunView, event: Event) -> str:
    view.site(event).state = "dropped"
    return f"{event['site']} is not in round {event['round']}: {event['reason']}"


def _late(view: RunView, event: Event) -> str:
    return f"{event['site']}: update of round {event['round']} came too late and was dropped"


def _waiting(view: RunView, event: Event) -> str:
    why = event.get("why", {})
    who = ", ".join(f"{site} ({why[site]})" if site in why else site for site in event["sites"])
    left = span(event["seconds_left"])
    return f"waiting for {who}: the quorum is {event['quorum']}, the deadline is in {left}"


def _parting(view: RunView, event: Event) -> str:
    left = span(event["seconds_left"])
    return f"waiting up to {left} for {', '.join(event['sites'])}, to hear that the run is over"


def _alone(view: RunView, event: Event) -> str:
    view.site(event).state, view.stage = "trained alone", "each institution alone"
    return f"{event['site']} trained alone for {event['epochs']} epochs in {event['elapsed']:.1f} s"


def _restarting(view: RunView, event: Event) -> str:
    view.site(event).state = "restarting"
    return f"{event['source']}: its process ended and is started again (attempt {event['attempt']})"


def _resumed(view: RunView, event: Event) -> str:
    return f"continuing after round {event['round']}"


def _left_out(view: RunView, event: Event) -> str:
    who = "; ".join(f"{site}: {why}" for site, why in event["sites"].items())
    return f"going on with a quorum of {event['quorum']}, without {who}"


def _initialised(view: RunView, event: Event) -> str | None:
    return f"starting from the model in {event['from']}" if "from" in event else None


def _become(state: str, sentence: str) -> Any:
    """A handler that gives the event's site a state, and fills ``sentence`` with the event's fields."""

    def handle(view: RunView, event: Event) -> str:
        if state:
            view.site(event).state = state
        return sentence.format_map(event)

    return handle


def _finished(view: RunView, event: Event) -> str:
    view.stage = "finished"
    for site in view.sites.values():
        site.state = "done"
    best = f"; best round {event['best']}" if event["best"] else ""
    return f"finished {event['rounds']} rounds{best}"


_FROM_SERVER: dict[str, Any] = {
    "started": _started,
    "joined": _joined,
    "lost": _lost,
    "card": _card,
    "resumed": _resumed,
    "paused": _become("", "paused by the coordinator after round {round}"),
    "added": _become("invited", "{site} was added to the federation"),
    "removed": _become("removed", "{site} was removed from the federation"),
    "unfit": _become("unfit", "{site}: its data does not fit the data contract: {why[0]}"),
    "waived": _become("data described", "{site} is taken although its data does not fit: {reason}"),
    "left_out": _left_out,
    "canary": _become("configured", "{site}: a round will take about {estimate:.0f} s"),
    "deadline": _become("", "a round may take {seconds:.0f} s"),
    "initialised": _initialised,
    "round_started": _round_started,
    "received": _received,
    "update": _update,
    "evaluation": _evaluation,
    "round_finished": _round_finished,
    "failed": _failed,
    "dropped": _dropped,
    "late": _late,
    "waiting": _waiting,
    "alone": _alone,
    "finished": _finished,
    "parting": _parting,
}
_FROM_SITES: dict[str, Any] = {
    "process": _state("starting"),
    "preparing": _state("reading data"),
    "training": _training,
    "progress": _progress,
    "restarting": _restarting,
}
