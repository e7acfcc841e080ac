"""The run folder of a server whose sites are elsewhere: made once, then only gone on with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from nbfed_site.contracts import Manifest, RunUnreadable, SettingsInvalid, canonical_json

from .folder import RunFolder
from .settings import Options, RunSettings, resolve

_SAME = "Use the same options as before, or another scratch folder for a new run."


def open_run(folder: RunFolder, slice_folder: Path, options: Options, keys: Mapping[str, bytes]) -> None:
    """Make the run in ``folder``; or find there the run that this call would make.

    ``keys`` are the public keys (PEM) of the sites, by name.

    Raises:
        RunUnreadable: there is no manifest in ``slice_folder``, or the run found is damaged.
        SettingsInvalid: an option has no meaning, or the run found is another one.
    """
    manifest = _read(slice_folder / "manifest.json")
    settings = resolve(options, manifest, cores=1)
    _check_wishes(settings, manifest)
    if (folder.path / "run.json").exists():
        _check_same(folder, settings, manifest, keys)
        return
    folder.slice.mkdir(parents=True, exist_ok=True)
    (folder.slice / "manifest.json").write_bytes(canonical_json(manifest.to_json()))
    for name, key in keys.items():
        folder.site(name).mkdir(parents=True, exist_ok=True)
        _key_path(folder, name).write_bytes(key)
    folder.create(settings)


def _read(path: Path) -> Manifest:
    try:
        return Manifest.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "A server image holds it in /app/slice; elsewhere name the folder with --slice."
        raise RunUnreadable("The slice's manifest cannot be read.", where=str(path), hint=hint) from error


def _check_wishes(settings: RunSettings, manifest: Manifest) -> None:
    """A server wishes for values that the notebook reads; folders and epochs have options of their own."""
    meanings = {item.name: item.meaning for item in manifest.parameters}
    for name in settings.parameters:
        if meanings[name] != "other":
            hint = "Use --epochs." if meanings[name] == "epochs" else "Each site names its own with --data."
            raise SettingsInvalid(f"The server does not set {name!r}.", hint=hint)


def _check_same(
    folder: RunFolder, settings: RunSettings, manifest: Manifest, keys: Mapping[str, bytes]
) -> None:
    found = folder.settings()
    for item in dataclasses.fields(RunSettings):
        before, now = (_plain(run)[item.name] for run in (found, settings))
        if before != now:
            what = f"The run here was begun with other settings: {item.name} was {before}, and is now {now}."
            raise SettingsInvalid(what, where=str(folder.path), hint=_SAME)
    if folder.manifest() != manifest:
        raise SettingsInvalid(
            "The run here was begun with another slice.", where=str(folder.path), hint=_SAME
        )
    for name, key in keys.items():
        if _key_path(folder, name).read_bytes() != key:
            what = f"{name} has another key than when the run was begun."
            raise SettingsInvalid(what, where=str(folder.path), hint=_SAME)


def _plain(settings: RunSettings) -> dict[str, object]:
    """Settings as they read back from their file."""
    found: dict[str, object] = json.loads(canonical_json(settings.to_json()))
    return found


def _key_path(folder: RunFolder, name: str) -> Path:
    return folder.site(name) / "key.pub"
