"""The live state as text: one line per site. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

_HEAD = ("site", "stage", "round", "epoch", "since", "heard", "cause")


def status_table(state: Mapping[str, Any]) -> str:
    """The answer of ``GET /v1/status`` for people."""
    rows = [_HEAD, *(_row(site, state["at"]) for site in state["sites"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([_headline(state), "", *(line.rstrip() for line in lines), *_edited(state)])


def _headline(state: Mapping[str, Any]) -> str:
    run = state["run"]
    parts = [f"{state['federation']}, run {run['number']}: {run['state']}"]
    if run["round"]:
        parts.append(f"round {run['round']} of {run['rounds']}")
    if run["quorum"]:
        parts.append(f"quorum {run['quorum']}")
    if run["deadline"]:
        parts.append(f"deadline in {_seconds(state['at'], run['deadline'])}")
    return "; ".join(parts)


def _edited(state: Mapping[str, Any]) -> Iterator[str]:
    if state.get("unrecorded"):
        yield ""
        yield f"Edited in federation.toml and not recorded: {', '.join(state['unrecorded'])}."
        yield "Record it: nbfed federation list. Sites come and go then; the rest is for the next run."


def _row(site: Mapping[str, Any], at: str) -> Sequence[str]:
    heard = site["heard_seconds"]
    epoch = f"{site['epoch']} of {site['epochs']}" if site["epochs"] else ""
    return (
        site["site"],
        site["stage"],
        str(site["round"] or ""),
        epoch,
        _seconds(site["since"], at),
        "" if heard is None else f"{span(heard)} ago",
        site["cause"],
    )


def _seconds(begin: str, end: str) -> str:
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
    return span(max(seconds, 0.0))


def span(seconds: float) -> str:
    """A time span in its largest unit: ``42 s``, ``3 min``, ``5 h``, ``2 d``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
