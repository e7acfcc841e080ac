"""Compares a site's own receipts with what the coordinator kept of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nbfed_site.contracts import BadInput, LedgerBroken, Receipt
from nbfed_site.receipts import read_receipts

from .federation import RunFolder
from .federation.federation_folder import SETTINGS, FederationFolder
from .ledger import Ledger, is_text_signed

_SEALS = ("previous", "hash", "signature")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it: ``findings`` are differences, ``notes`` what only looks like one."""

    site: str
    entries: int
    kept: int
    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A site's receipt in a run's ledger."""

    receipt: Mapping[str, Any]
    where: str


def compare(place: Path, receipts: Path, site: str | None = None) -> Comparison:
    """Compare a site's file with a federation, or with one run.

    Args:
        site: its name; default: whose key signed the file, else whom most entries are known of.

    Raises:
        BadInput: there is no such run, federation, file or site.
    """
    runs, federation = _runs(place)
    own, damage = _own(receipts)
    kept = _kept(runs)
    keys = _keys(federation)
    name, key = _whose(own, kept, keys, site)
    theirs = _of_chain(kept[name], key) if name in kept else {}
    findings = [*damage, *_unsigned(own, name, key, keys), *_differences(own, theirs, bool(damage))]
    findings += _cut(own, federation) if federation else ()
    whole = federation is not None and federation.path == place and not _has_erased(federation)
    lost, notes = _lost(own, theirs, whole)
    return Comparison(name, len(own), len(theirs), (*findings, *lost), tuple(notes))


def _runs(place: Path) -> tuple[list[RunFolder], FederationFolder | None]:
    """The runs to look into, and the federation that they belong to, if any."""
    if (place / SETTINGS).exists():
        federation = FederationFolder(place)
        numbers = sorted(int(path.name) for path in (place / "runs").glob("*") if path.name.isdigit())
        return [federation.run(number) for number in numbers], federation
    if not (place / "ledger.sqlite").exists():
        hint = "Name a federation's folder, or a run's."
        raise BadInput("There is neither a federation nor a run.", where=str(place), hint=hint)
    above = place.absolute().parent.parent
    return [RunFolder(place)], FederationFolder(above) if (above / SETTINGS).exists() else None


def _own(path: Path) -> tuple[tuple[Receipt, ...], tuple[str, ...]]:
    """The site's entries; where the file is damaged none, and why."""
    try:
        return read_receipts(path), ()
    except LedgerBroken as error:
        return (), (f"{error.what} ({error.where})",)
    except OSError as error:
        hint = "Name the file receipts.jsonl of the site's scratch folder."
        raise BadInput("The receipts cannot be read.", where=str(error), hint=hint) from error


def _kept(runs: list[RunFolder]) -> dict[str, list[_Kept]]:
    found: dict[str, list[_Kept]] = {}
    for run in runs:
        if not run.ledger.exists():
            continue
        with Ledger.read(run.ledger) as ledger:
            for entry in ledger.entries():
                for receipt in entry.body.get("receipts", ()):
                    where = f"{run.ledger}, entry {entry.sequence}"
                    found.setdefault(str(entry.body["site"]), []).append(_Kept(receipt, where))
    return found


def _keys(federation: FederationFolder | None) -> list[tuple[str, str]]:
    """Site and public key of everybody who ever joined."""
    if federation is None:
        return []
    with Ledger.read(federation.ledger) as ledger:
        return [(str(item.body["site"]), str(item.body["key"])) for item in ledger.entries("site_joined")]


def _whose(
    own: tuple[Receipt, ...], kept: Mapping[str, list[_Kept]], keys: list[tuple[str, str]], asked: str | None
) -> tuple[str, str]:
    """The site that wrote the file, and its key; the key is empty where nobody's signed.

    Raises:
        BadInput: nothing says whose it is.
    """
    signed = [item for item in own if item.signature]
    for site, key in keys if signed else []:
        if asked in (None, site) and is_text_signed(key, signed[0].hash, signed[0].signature):
            return site, key
    if asked is not None:
        return asked, ""
    seals = {(item.hash, item.signature) for item in own}  # two sites' first entries may have the same hash
    shared = {
        name: sum((item.receipt["hash"], item.receipt["signature"]) in seals for item in items)
        for name, items in kept.items()
    }
    if not any(shared.values()):
        hint = "Say whose it is: --site NAME"
        raise BadInput("No site of this federation is known to have written this file.", hint=hint)
    return max(shared, key=lambda name: shared[name]), ""


def _of_chain(kept: list[_Kept], key: str) -> dict[int, _Kept]:
    """The coordinator's copies by sequence; those under another key are of another file of the site."""
    of_key = [
        item
        for item in kept
        if not key or is_text_signed(key, str(item.receipt["hash"]), str(item.receipt["signature"]))
    ]
    return {int(item.receipt["sequence"]): item for item in of_key}


def _unsigned(own: tuple[Receipt, ...], name: str, key: str, keys: list[tuple[str, str]]) -> Iterator[str]:
    if keys and not key and own:
        yield f"The file is not signed with any key that {name} joined with."
    for item in own if key else ():
        if not is_text_signed(key, item.hash, item.signature):
            yield f"Entry {item.sequence} of the site's file is not signed with the key of {name}."


def _differences(own: tuple[Receipt, ...], theirs: Mapping[int, _Kept], damaged: bool) -> Iterator[str]:
    """Entries that the coordinator has, and the site has otherwise or not at all."""
    for sequence, kept in sorted(theirs.items() if not damaged else ()):
        if sequence >= len(own):
            yield f"Entry {sequence} ({_about(kept.receipt)}) is not in the site's file, but in {kept.where}."
        elif own[sequence].hash != kept.receipt["hash"]:
            mine = asdict(own[sequence])
            fields = [name for name in mine if name not in _SEALS and mine[name] != kept.receipt.get(name)]
            told = "; ".join(f"{name} is {mine[name]!r}, not {kept.receipt.get(name)!r}" for name in fields)
            yield f"Entry {sequence} ({_about(mine)}) is another than in {kept.where}: {told or 'its seal'}."


def _has_erased(federation: FederationFolder) -> bool:
    """Whether runs, and with them what left the site, are here no more because their time was over."""
    with Ledger.read(federation.ledger) as ledger:
        return any(ledger.entries("run_expired"))


def _cut(own: tuple[Receipt, ...], federation: FederationFolder) -> Iterator[str]:
    """The first entry that the federation's ledger had when the site was told so, and has no more."""
    with Ledger.read(federation.ledger) as ledger:
        heads = {f"{entry.sequence + 1}:{entry.hash}" for entry in ledger.entries()}
    for item in own:
        told = str(item.details.get("ledger", ""))
        if told and told not in heads:
            yield (
                f"{federation.ledger} lacks entries that it had at {item.at}, as the site was told with "
                f"entry {item.sequence} ({_about(asdict(item))}): it ended with {told} then."
            )
            return


def _lost(own: tuple[Receipt, ...], theirs: Mapping[int, _Kept], whole: bool) -> tuple[list[str], list[str]]:
    """What left the site, and the coordinator does not have; and of that, what was sent anew later."""
    last = len(own) if whole else max(theirs, default=-1)
    first = 0 if whole else min(theirs, default=0)
    arrived = {(kept.receipt["task_id"], kept.receipt["round"]): number for number, kept in theirs.items()}
    lost, notes = [], []
    for item in own:
        if item.event != "released" or item.sequence in theirs or not first <= item.sequence <= last:
            continue
        again = arrived.get((item.task_id, item.round), -1)
        said = f"Entry {item.sequence} ({_about(asdict(item))}) left the site and is not in the coordinator's"
        if again > item.sequence:
            notes.append(f"{said} ledger; the same task was answered again with entry {again}.")
        else:
            lost.append(f"{said} ledger.")
    return lost, notes


def _about(receipt: Mapping[str, Any]) -> str:
    where = f", round {receipt['round']}" if receipt["round"] else ""
    return f"{receipt['event']} {receipt['kind']}{where}, {receipt['at']}"
