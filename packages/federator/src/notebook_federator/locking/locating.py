"""Wheels from a folder, found again where the folder lies elsewhere on this machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .files import local_path
from .shapes import Lock, LockedWheel, Sources


def located(lock: Lock, sources: Sources) -> Lock:
    """The same lock, with wheels that are not where it says looked up by file name and size in ``sources``.

    The folders of the user come first, then those that `uv` and pip are configured with. A wheel that is
    nowhere keeps its old place: whoever needs it then fails to fetch it. Free where nothing is missing.

    Raises:
        SettingsInvalid: a folder of the user is not there.
    """
    missing = [wheel for wheel in lock.packages if _is_missing(wheel)]
    if not missing:
        return lock
    from .sources import settings_of

    folders = settings_of(sources, os.environ).folders
    own = os.environ.get("UV_FIND_LINKS", "").replace(",", " ").split()
    places = [*folders, *(Path(place) for place in own if "://" not in place)]
    found = {wheel: _found(wheel, places) for wheel in missing}
    return replace(lock, packages=tuple(found.get(wheel, wheel) for wheel in lock.packages))


def _is_missing(wheel: LockedWheel) -> bool:
    path = local_path(wheel.url)
    return path is not None and not path.is_file()


def _found(wheel: LockedWheel, folders: Sequence[Path]) -> LockedWheel:
    files = [folder / wheel.filename for folder in folders]
    fitting = [file for file in files if file.is_file() and file.stat().st_size == wheel.size]
    if len(fitting) > 1:
        fitting = [file for file in fitting if _sha256(file) == wheel.sha256] or fitting
    return replace(wheel, url=fitting[0].absolute().as_uri()) if fitting else wheel


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
