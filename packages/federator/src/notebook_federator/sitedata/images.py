"""Bringing images from a folder or a tar archive to the places a plan gives them."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from nbfed_site.contracts import BadInput, StorageFull


def bring_images(source: Path, targets: Mapping[str, Path], *, links: bool = False) -> None:
    """Copy each named image from ``source`` (a folder, or a tar archive in any compression) to its
    target; with ``links``, hard-link it instead, which needs a folder on the same file system.

    Raises:
        BadInput: ``source`` or images are missing or outside it, or links are not possible.
        StorageFull: no space is left.
    """
    try:
        if source.is_dir():
            _from_folder(source, targets, links)
        elif links:
            raise BadInput("Links need a folder of images, not an archive.", where=str(source), hint="Copy.")
        else:
            _from_archive(source, targets)
    except FileNotFoundError:
        raise BadInput("There are no images here.", where=str(source), hint="Check the path.") from None
    except tarfile.TarError as error:
        raise BadInput(f"This is neither a folder nor a tar archive: {error}.", where=str(source)) from error
    except OSError as error:
        raise storage_error(error, source) from error


def storage_error(error: OSError, where: Path) -> BadInput | StorageFull:
    """What an error of the file system means for the one who makes site folders."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull(
            "No space is left for the site folders.", hint="Free some, or use links or a limit."
        )
    if error.errno in {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP}:
        return BadInput(f"The images cannot be linked here: {error.strerror}.", hint="Copy them instead.")
    return BadInput(
        f"The site folders cannot be made: {error.strerror or error}.", where=str(error.filename or where)
    )


def _from_folder(source: Path, targets: Mapping[str, Path], links: bool) -> None:
    inside = source.resolve()
    found = {name: (source / name).resolve() for name in targets}
    strays = [name for name, path in found.items() if not path.is_relative_to(inside)]
    if strays:
        raise BadInput("A file of the manifest lies outside the folder of images.", where=strays[0])
    _check_missing([name for name, path in found.items() if not path.is_file()], source)
    for name, target in targets.items():
        if links:
            os.link(found[name], target)
        else:
            shutil.copyfile(found[name], target)


def _from_archive(source: Path, targets: Mapping[str, Path]) -> None:
    """One pass over the archive: only wanted members are read, and only to their targets."""
    wanted = {str(PurePosixPath(name)): target for name, target in targets.items()}
    with tarfile.open(source) as archive:
        for member in archive:
            target = wanted.pop(str(PurePosixPath(member.name)), None) if member.isfile() else None
            content = target and archive.extractfile(member)
            if target and content:
                with content, target.open("wb") as file:
                    shutil.copyfileobj(content, file)
    _check_missing(list(wanted), source)


def _check_missing(missing: list[str], source: Path) -> None:
    if missing:
        raise BadInput(
            f"{len(missing)} images of the manifest are missing.",
            where=f"{source}: {missing[0]}{' and others' if len(missing) > 1 else ''}",
            hint="File names in the manifest are read relative to the folder or archive of images.",
        )
