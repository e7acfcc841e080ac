"""From a run's ledger and folder to the record that a report is made from."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from nbfed_site.contracts import Evaluation, Manifest, RunUnreadable, SiteCard, rebuilt

from ..federation import RunFolder, RunSettings
from ..ledger import Entry, Ledger
from .data import (
    ModelEvaluation,
    Receipts,
    RunRecord,
    Settings,
    SiteRecord,
    State,
)
from .participation import rounds_of

_VERSIONS = ("notebook-federator", "flwr", "torch", "numpy", "scikit-learn")


def read_run(folder: RunFolder) -> RunRecord:
    """The record of the run in ``folder``, finished or not.

    Raises:
        RunUnreadable: there is no run here, or it has not begun.
        LedgerBroken: the ledger was changed after it was written.
    """
    settings, manifest = folder.settings(), folder.manifest()
    entries: tuple[Entry, ...] = ()
    if folder.ledger.exists():
        with Ledger.read(folder.ledger) as ledger:
            ledger.verify()
            entries = tuple(ledger.entries())
    if not entries:
        raise RunUnreadable(
            "The run has not begun: its ledger is empty.",
            where=str(folder.path),
            hint=f"Start it with: nbfed run --resume {folder.path}",
        )
    came = {entry.body["site"] for entry in entries if entry.kind in ("card", "added")}
    names = sorted({member.name for member in settings.members} | came)
    best = _last(entries, "finished", "best")
    return RunRecord(
        run=folder.path.name,
        notebook=manifest.notebook,
        state=_state(entries),
        started=entries[0].at,
        finished=entries[-1].at,
        settings=_settings(settings, folder),
        sites=tuple(_site(name, entries, folder) for name in names),
        rounds=rounds_of(entries, names),
        evaluations=_evaluations(entries, settings.rounds),
        digests=_digests(manifest, entries),
        versions=_versions(),
        command=_command(settings, manifest),
        best_round=best,
        alone_epochs=_last(entries, "alone", "epochs"),
        warnings=_warnings(entries),
    )


def _last(entries: Sequence[Entry], kind: str, name: str) -> Any:
    return next((entry.body[name] for entry in reversed(entries) if entry.kind == kind), None)


def _state(entries: Sequence[Entry]) -> State:
    ends = [entry for entry in entries if entry.kind in ("started", "finished", "stopped")]
    if ends[-1].kind == "finished":
        return "completed"
    return "failed" if ends[-1].kind == "stopped" and ends[-1].body["code"] else "stopped"


def _settings(settings: RunSettings, folder: RunFolder) -> Settings:
    best = folder.models / "best.json"
    split = json.loads(best.read_bytes())["split"] if best.exists() else ""
    return Settings(
        strategy=settings.strategy,
        rounds=settings.rounds,
        epochs=settings.epochs,
        quorum=settings.quorum,
        seed=settings.seed,
        deadline=settings.deadline,
        stragglers=settings.stragglers,
        wire=settings.wire,
        best_by=f"lowest pooled {split} loss" if split else "",
    )


def _site(name: str, entries: Sequence[Entry], folder: RunFolder) -> SiteRecord:
    mine = [entry for entry in entries if entry.body.get("site") == name]
    cards = [entry.body["card"] for entry in mine if entry.kind == "card"]
    waivers = [entry.body["reason"] for entry in mine if entry.kind == "waived"]
    card = _in_order(rebuilt(SiteCard, cards[-1])) if cards else None
    receipts = _receipts(folder.site(name) / "receipts.jsonl")
    return SiteRecord(name, card, receipts, waivers[-1] if waivers else "")


def _in_order(card: SiteCard) -> SiteCard:
    """Splits in the order of their use; canonical JSON had sorted them by name."""
    known = [name for name in ("train", "validation", "test") if name in card.samples]
    return replace(card, samples={name: card.samples[name] for name in known})


def _receipts(path: Path) -> Receipts | None:
    if not path.exists():
        return None
    receipts = [json.loads(line) for line in path.read_text().splitlines()]
    events = [item["event"] for item in receipts]
    metrics = {
        name for item in receipts for name in str(item["details"].get("metrics", "")).split(", ") if name
    }

    def total(event: str) -> int:
        return sum(int(item["details"].get("bytes", 0)) for item in receipts if item["event"] == event)

    return Receipts(
        received=events.count("received"),
        released=events.count("released"),
        refused=events.count("refused"),
        bytes_in=total("received"),
        bytes_out=total("released"),
        metrics=tuple(sorted(metrics)),
        head=receipts[-1]["hash"] if receipts else "",
    )


def _evaluations(entries: Sequence[Entry], rounds: int) -> tuple[ModelEvaluation, ...]:
    found: dict[tuple[str | None, int, str], ModelEvaluation] = {}
    for entry in entries:
        if entry.kind == "evaluation" and entry.body["split"] == "test":
            kind, _, rest = entry.body["model"].partition("-")
            alone, number = (rest, rounds) if kind == "alone" else (None, int(rest))
            site = entry.body["site"]
            evaluation = rebuilt(Evaluation, entry.body["evaluation"])
            found[alone, number, site] = ModelEvaluation(alone, number, site, evaluation)
    return tuple(found.values())


def _digests(manifest: Manifest, entries: Sequence[Entry]) -> dict[str, str]:
    models = {
        entry.body["round"]: entry.body["digest"] for entry in entries if entry.kind == "round_finished"
    }
    found = {"notebook": manifest.notebook_digest, "slice": manifest.slice_digest}
    if models:
        found["model"] = models[max(models)]
    best = _last(entries, "finished", "best")
    if best in models:
        found["best model"] = models[best]
    return {**found, "ledger": entries[-1].hash}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _command(settings: RunSettings, manifest: Manifest) -> str:
    sites = (
        [f"--sites {len(settings.members)} --partition {settings.partition}"]
        if settings.partition is not None
        else [f"--site {member.name}={member.data or 'DIR'}" for member in settings.members]
    )
    extra = ",".join(f"{key}={value}" for key, value in settings.strategy.items() if key != "name")
    strategy = f"{settings.strategy['name']}" + (f":{extra}" if extra else "")
    parts = [
        "nbfed run",
        manifest.notebook,
        *sites,
        f"--rounds {settings.rounds} --epochs {settings.epochs} --strategy {strategy}",
        f"--quorum {settings.quorum} --seed {settings.seed} --wire {settings.wire}",
        *(["--alone"] if settings.alone else []),
    ]
    return " ".join(parts)


def _warnings(entries: Sequence[Entry]) -> tuple[str, ...]:
    found = []
    for entry in entries:
        body = entry.body
        if entry.kind == "late":
            found.append(f"Round {body['round']}: an update of {body['site']} came too late and was dropped.")
        if entry.kind == "evaluation":
            found += [f"{body['site']}: {text}" for text in body["evaluation"].get("warnings", ())]
        if entry.kind == "resumed" and body.get("after") != "pause":
            found.append(f"The run was interrupted and continued after round {body['round']}.")
        if entry.kind == "paused":
            found.append(f"The coordinator paused the run after round {body['round']}.")
        if entry.kind == "removed":
            found.append(f"The coordinator removed {body['site']} from the federation.")
        if entry.kind == "left_out":
            found += [f"Training began without {site}: {why}." for site, why in body["sites"].items()]
        if entry.kind == "stopped":
            found.append(f"The run stopped: {body['what']}")
    return tuple(dict.fromkeys(found))
