"""From a run's ledger: who took part in which round with which weight, and why the others did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..ledger import Entry
from .data import Participation, Presence, RoundRecord


def rounds_of(entries: Sequence[Entry], names: Sequence[str]) -> tuple[RoundRecord, ...]:
    """Rounds that were finished; of a round that was repeated after a crash the last attempt."""
    attempts: dict[int, list[Entry]] = {}
    for entry in entries:
        number = entry.body.get("round")
        if entry.kind == "round_started":
            attempts[entry.body["round"]] = [entry]
        elif number in attempts and entry.body.get("task", "train") == "train":
            attempts[number].append(entry)
    finished = ((number, *_finish(attempt)) for number, attempt in sorted(attempts.items()))
    return tuple(
        RoundRecord(number, end.body["seconds"], tuple(_participation(name, attempt) for name in names))
        for number, end, attempt in finished
        if end is not None
    )


def _finish(attempt: list[Entry]) -> tuple[Entry | None, list[Entry]]:
    return next((entry for entry in attempt if entry.kind == "round_finished"), None), attempt


def _participation(name: str, attempt: Sequence[Entry]) -> Participation:
    mine = [entry for entry in attempt if entry.body.get("site") == name]
    bodies = {entry.kind: entry.body for entry in mine if entry.kind != "update"}
    updates = [entry.body for entry in mine if entry.kind == "update"]
    late = [body for body in updates if body.get("late")]
    weight = sum(body["num_examples"] / (1 + body["late"]) for body in late)
    for body in updates:
        if body not in late:
            return Participation(
                site=name,
                presence="took part",
                num_examples=body["num_examples"],
                late_weight=weight,
                metrics=body["metrics"],
                seconds=body["seconds"],
                elapsed=body["elapsed"],
                bytes_down=body["bytes_down"],
                bytes_up=body["bytes_up"],
            )
    if late:
        return Participation(site=name, presence="took part", late_weight=weight)
    presence, reason = _absence(name, bodies, attempt[0])
    return Participation(site=name, presence=presence, reason=reason)


def _absence(name: str, mine: Mapping[str, Mapping[str, Any]], start: Entry) -> tuple[Presence, str]:
    if "failed" in mine:
        body = mine["failed"]
        presence: Presence = "refused" if body["code"] in ("NE603", "NE605") else "failed"
        return presence, f"{body['what']} {body['where']}".strip()
    if "dropped" in mine:
        reason = mine["dropped"]["reason"]
        if reason.startswith("removed"):
            return "removed", ""
        return ("late" if reason.startswith("no reply") else "lost"), reason
    why = start.body.get("absent", {}).get(name)
    if why is None:
        return ("absent" if name in start.body["sites"] else "no member"), ""
    return ("not chosen", "") if why.startswith("not drawn") else ("absent", why)
