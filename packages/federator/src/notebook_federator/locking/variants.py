"""The variant of torch: from a folder of wheels where one has it, else from where `uv` knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nbfed_site.contracts import SettingsInvalid

from .choosing import tag_ranks
from .errors import LockUnsolvable
from .runtime import normalised
from .shapes import LockedWheel, Target

if TYPE_CHECKING:
    from packaging.version import Version

_VARIANT = re.compile(r"cpu|xpu|cu\d+|rocm\d+(\.\d+)*")
_PINNED = re.compile(r"(?P<name>torch)\s*==\s*(?P<version>[0-9][^\s,;+*]*)\s*")


def check_variant(target: Target) -> None:
    """Nothing, where the target names a variant of torch as `uv` does; otherwise SettingsInvalid."""
    if not _VARIANT.fullmatch(target.torch):
        hint = "Use cpu, or cu and the version of CUDA as in cu128."
        raise SettingsInvalid(f"{target.torch!r} is no variant of torch.", hint=hint)


def pins_from_folders(
    folders: Sequence[Path], requirements: Sequence[str], target: Target
) -> tuple[str, ...]:
    """``NAME==VERSION+VARIANT`` of the newest wheels in ``folders`` that are built for the asked variant.

    Only those that fit the target and what ``requirements`` say of them; none where torch is not there.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    newest: dict[str, Version] = {}
    for name, version in _variants(folders, target):
        try:
            specifier = SpecifierSet(",".join(_specifiers(requirements, name)))
        except InvalidSpecifier:
            continue
        if specifier.contains(version, prereleases=True):
            newest[name] = max(version, newest.get(name, version))
    return tuple(f"{name}=={newest[name]}" for name in sorted(newest)) if "torch" in newest else ()


def pin_of(requirements: Sequence[str], target: Target) -> tuple[str, ...]:
    """The pin of torch in ``requirements`` with the asked variant; empty where nothing pins it."""
    matches = (_PINNED.fullmatch(line) for line in requirements)
    return tuple(f"torch=={match['version']}+{target.torch}" for match in matches if match)[:1]


def is_asked_variant(wheels: Sequence[LockedWheel], target: Target) -> bool:
    """Whether torch, if it is there at all, is labelled as the asked variant."""
    return _labels(wheels) <= {target.torch}


def other_variant(wheels: Sequence[LockedWheel], target: Target) -> bool:
    """Whether torch is labelled as another variant; wheels without a label are taken as they come."""
    return not _labels(wheels) <= {target.torch, ""}


def no_variant(target: Target) -> LockUnsolvable:
    """The error for a variant that nobody has."""
    what = f"torch is not to be had as {target.torch} for Python {target.python} on {target.platform}."
    hint = "Take another variant with --torch, or say who has it with --index URL or --wheels FOLDER."
    return LockUnsolvable(what, hint=hint, kind="no wheel", distributions=("torch",))


def _labels(wheels: Sequence[LockedWheel]) -> set[str]:
    return {wheel.version.partition("+")[2] for wheel in wheels if wheel.name == "torch"}


def _variants(folders: Sequence[Path], target: Target) -> Iterator[tuple[str, Version]]:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    ranks = tag_ranks(target)
    for folder in folders:
        for path in folder.glob(f"*+{target.torch}-*.whl"):
            try:
                name, version, _, tags = parse_wheel_filename(path.name)
            except InvalidWheelFilename:
                continue
            if version.local == target.torch and not ranks.keys().isdisjoint(tags):
                yield name, version


def _specifiers(requirements: Sequence[str], name: str) -> Iterator[str]:
    """The version specifiers of the requirement lines of one distribution."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in requirements:
        if normalised(line) == name:
            try:
                specifier = str(Requirement(line).specifier)
            except InvalidRequirement:
                continue
            if specifier:
                yield specifier
