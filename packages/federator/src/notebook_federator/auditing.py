"""Checks the ledgers of a federation, each by itself and one against the other; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbfed_site.contracts import BadInput, LedgerBroken, NbfedError, digest

from .federation import RunFolder
from .federation.edits import unrecorded
from .federation.federation_folder import SETTINGS, FederationFolder
from .federation.membership import Membership, fold
from .ledger import Ledger

_HINT = "Name a federation's folder, a run's folder, or a ledger.sqlite."


@dataclass(frozen=True, slots=True)
class Checked:
    """One ledger that holds: its entries, and the hash of the last, to be noted down."""

    path: Path
    entries: int
    head: str
    signed: bool


@dataclass(frozen=True, slots=True)
class Audit:
    """What was checked, and each thing that is not as it should be, one sentence each."""

    checked: tuple[Checked, ...]
    findings: tuple[str, ...]


def audit(path: Path, key: str | None = None, head: tuple[int, str] | None = None) -> Audit:
    """Check a federation with all its runs, one run, or one ledger's file.

    Args:
        key: public key (PEM) that has to have signed; default: the one that the ledger names itself.
        head: number of entries and hash of the last, noted earlier.

    Raises:
        BadInput: there is no ledger there.
    """
    if (path / SETTINGS).exists():
        return _audit_federation(FederationFolder(path), key, head)
    file = path / "ledger.sqlite" if path.is_dir() else path
    if not file.is_file():
        raise BadInput("There is no ledger.", where=str(path), hint=_HINT)
    checked, findings = _check(file, key, head)
    return Audit((checked,) if checked else (), findings)


def _check(
    path: Path, key: str | None, head: tuple[int, str] | None
) -> tuple[Checked | None, tuple[str, ...]]:
    """One ledger by itself."""
    try:
        with Ledger.read(path) as ledger:
            count = ledger.verify(key, head)
            signed = any(entry.signature for entry in ledger.entries())
            return Checked(path, count, ledger.head()[1], signed), ()
    except LedgerBroken as error:
        return None, (f"{path}: {error.what}",)


def _audit_federation(folder: FederationFolder, key: str | None, head: tuple[int, str] | None) -> Audit:
    if not folder.ledger.is_file():
        return Audit((), (f"{folder.ledger} is missing.",))
    own, findings = _check(folder.ledger, key, head)
    if own is None:
        return Audit((), findings)
    with Ledger.read(folder.ledger) as ledger:
        membership = fold(ledger.entries())
        issued = {str(entry.body["kit"]) for entry in ledger.entries("kit_issued")}
    runs = [_audit_run(folder, membership, number, own) for number in _numbers(folder, membership)]
    checked = (own, *(item for run in runs for item in run.checked))
    found = (*(item for run in runs for item in run.findings), *_kits(folder, issued))
    return Audit(checked, (*found, *_settings(folder, membership)))


def _numbers(folder: FederationFolder, membership: Membership) -> list[int]:
    """Of the runs that the ledger or the folder know of."""
    there = {int(path.name) for path in (folder.path / "runs").glob("*") if path.name.isdigit()}
    return sorted(there | membership.runs.keys())


def _audit_run(folder: FederationFolder, membership: Membership, number: int, above: Checked) -> Audit:
    run, note = folder.run(number), membership.runs.get(number)
    if note is not None and note.expired:
        said = f"Run {number} was erased, says the federation's ledger, but {run.path} is here."
        return Audit((), (said,) if run.path.exists() else ())
    if not run.ledger.is_file():
        return Audit((), (f"Run {number} is in the federation's ledger, but {run.ledger} is missing.",))
    end = (note.entries, note.head) if note is not None and note.finished else None
    checked, findings = _check(run.ledger, membership.key, end)
    if checked is None:
        return Audit((), findings)
    if note is None:
        findings = (f"Run {number} is not in the federation's ledger.",)
    return Audit((checked,), (*findings, *_tie(run, above)))


def _tie(run: RunFolder, above: Checked) -> Iterator[str]:
    """Whether the federation's ledger still holds what it held when the run began."""
    with Ledger.read(run.ledger) as ledger:
        opened = next(ledger.entries("opened"), None)
    if opened is None:
        yield f"{run.ledger} does not say which federation it belongs to."
        return
    then = (int(opened.body["entries"]), str(opened.body["head"]))
    with Ledger.read(above.path) as ledger:
        try:
            ledger.verify(head=then)
        except LedgerBroken:
            yield f"{above.path} lacks entries that it had when {run.path} began."


def _kits(folder: FederationFolder, issued: set[str]) -> Iterator[str]:
    for path in sorted((folder.path / "kits").glob("*/kit.json")):
        if digest(path.read_bytes()) not in issued:
            yield f"{path} is no kit that the ledger knows of."


def _settings(folder: FederationFolder, membership: Membership) -> Iterator[str]:
    try:
        odd = unrecorded(folder.settings(), membership)
    except NbfedError as error:
        yield f"{error.what} ({error.where})"
        return
    if odd:
        yield (
            f"{folder.settings_file} says something else than the ledger ({', '.join(odd)}). Where you "
            "edited it, record that with: nbfed federation list"
        )
