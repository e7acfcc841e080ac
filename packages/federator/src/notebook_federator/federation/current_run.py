"""Which run a server works on: the newest until it is over, then the next where one is asked for."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from nbfed_site.contracts import Manifest, RunUnreadable, SettingsInvalid, canonical_json, plain

from ..ledger import Ledger
from .federation_folder import FederationFolder
from .folder import RunFolder
from .membership import Membership
from .resolving import resolve
from .settings import Member, RunSettings

_INITIAL = "initial.safetensors"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a server's start.

    Attributes:
        new: the next run, from the ``initial`` model (safetensors).
        grace: seconds for which the server stays at the end for sites that are away.
    """

    new: bool = False
    initial: Path | None = None
    grace: float = 0.0


def pick_run(membership: Membership, wish: Wish) -> int | None:
    """The number of the run to begin or to go on with; None where the newest is over.

    Raises:
        SettingsInvalid: what is wished for contradicts what there is.
    """
    newest = max(membership.runs, default=0)
    run = membership.runs.get(newest)
    over = run is None or run.finished or run.expired or membership.stopped
    if wish.new or run is None:
        if not over:
            hint = "Go on with it without --new-run; or end it first: nbfed federation stop"
            raise SettingsInvalid(f"Run {newest} is not finished.", hint=hint)
        return newest + 1
    if wish.initial is not None:
        hint = "Give --new-run as well, to begin the next run from this model."
        raise SettingsInvalid(f"Run {newest} has begun from another model.", hint=hint)
    return None if over else newest


def open_run(federation: FederationFolder, membership: Membership, number: int, wish: Wish) -> RunSettings:
    """Make run ``number`` where it is not there; its settings, with the members of this moment.

    Raises:
        FederationUnreadable, RunUnreadable: a file is missing or damaged.
        SettingsInvalid: a setting has no meaning, or there are no sites.
    """
    folder = federation.run(number)
    names = tuple(site.name for site in membership.members)
    if not names:
        hint = "Add one: nbfed federation add-site NAME"
        raise SettingsInvalid("The federation has no sites.", where=str(federation.path), hint=hint)
    if not (folder.path / "run.json").exists():
        _make(federation, folder, names, wish)
    if folder.manifest().slice_digest != federation.manifest().slice_digest:
        hint = "Begin a new run with the new notebook: --new-run"
        what = f"Run {number} was begun with another notebook."
        raise RunUnreadable(what, where=str(folder.path), hint=hint)
    return replace(folder.settings(), members=tuple(Member(name, None) for name in names))


def _make(federation: FederationFolder, folder: RunFolder, names: tuple[str, ...], wish: Wish) -> None:
    manifest = federation.manifest()
    options = federation.settings().options(names)
    folder.slice.mkdir(parents=True, exist_ok=True)
    if wish.initial is not None:
        options = replace(options, initial=_copied(wish.initial, folder.path / _INITIAL))
    settings = resolve(options, manifest, cores=1)
    _check_wishes(settings, manifest)
    (folder.slice / "manifest.json").write_bytes(canonical_json(plain(manifest)))
    folder.create(settings)


def _copied(model: Path, into: Path) -> Path:
    try:
        shutil.copyfile(model, into)
    except OSError as error:
        what = f"The model to begin from cannot be copied: {error.strerror}."
        raise SettingsInvalid(what, where=str(model)) from error
    return into


def _check_wishes(settings: RunSettings, manifest: Manifest) -> None:
    """A server wishes for values that the notebook reads; folders and epochs have settings of their own."""
    meanings = {item.name: item.meaning for item in manifest.parameters}
    for name in settings.parameters:
        if meanings[name] != "other":
            hint = "Set rounds.epochs." if meanings[name] == "epochs" else "Each site has its own folder."
            what = f"The server does not set {name!r}."
            raise SettingsInvalid(what, where="[parameters] in federation.toml", hint=hint)


def is_finished(run: RunFolder) -> bool:
    """Whether a run's own ledger says so."""
    if not run.ledger.exists():
        return False
    with Ledger.read(run.ledger) as ledger:
        ends = [entry.kind for entry in ledger.entries("started", "finished", "stopped")]
    return ends[-1:] == ["finished"]
