"""A kit's files on disk: a folder, or a zip with the same modes. The same files give the same bytes."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from .container import IMAGES_FILE, TOKEN_FILE

_SECRET, _PROGRAM, _PLAIN = 0o600, 0o755, 0o644
_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold


def mode_of(name: str) -> int:
    """The permission bits of one of a kit's files."""
    return {TOKEN_FILE: _SECRET, "site": _PROGRAM}.get(name, _PLAIN)


def write_folder(files: Mapping[str, bytes], folder: Path, images: Path | None = None) -> None:
    """Write a kit's folder; it appears whole, in place of one that is there.

    Args:
        files: name -> bytes.
        folder: whose parent is made where it is missing.
        images: moved into the folder as ``images.tar``.
    """
    making = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o755, parents=True)
    for name, data in files.items():
        handle = os.open(making / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode_of(name))
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        (making / name).chmod(mode_of(name))
    if images is not None:
        shutil.move(images, making / IMAGES_FILE)
    if folder.exists():
        shutil.rmtree(folder)
    making.rename(folder)


def write_zip(files: Mapping[str, bytes], path: Path, images: Path | None = None) -> None:
    """Write a kit as a zip with one folder in it, called as the file; for its owner alone."""
    making = path.with_name(f".{path.name}.{os.getpid()}")
    making.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET)
    with os.fdopen(handle, "wb") as out, zipfile.ZipFile(out, "w") as archive:
        for name, data in sorted(files.items()):
            archive.writestr(_member(f"{path.stem}/{name}", mode_of(name)), data)
        if images is not None:
            member = _member(f"{path.stem}/{IMAGES_FILE}", _PLAIN, zipfile.ZIP_STORED)
            member.file_size = images.stat().st_size
            with images.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    making.replace(path)


def _member(name: str, mode: int, how: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _TIME)
    member.external_attr = (stat.S_IFREG | mode) << 16
    member.create_system = 3  # Unix: the modes count
    member.compress_type = how
    return member
