"""The lock of both images: one resolution, so that they share every version, then what each of them needs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import LockUnsolvable, source_only
from .fitting import tidy
from .runtime import normalised
from .shapes import Lock, LockedWheel, Needs, Role, Sources, Target

if TYPE_CHECKING:
    from .solving import Question

_RELEASE = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?")
_SOURCE = re.compile(r"^(?P<name>[^@\s]+)\s*@\s*(?:git|hg|svn|bzr)\+")


def lock(needs: Needs, target: Target, sources: Sources, previous: Lock | None = None) -> Lock:
    """Settle the exact wheel of every distribution that the images need.

    Where the requirements leave a choice, the versions of ``previous`` are kept, then those of the author's
    environment are taken, then the newest. Takes some seconds and the network.

    Raises:
        LockUnsolvable: a conflict, or a distribution without a wheel for ``target``.
        IndexUnreachable: a package index does not answer.
        SettingsInvalid: ``target`` or ``sources`` make no sense.
    """
    from .sizes import sized
    from .solving import Question
    from .sources import settings_of
    from .variants import check_variant

    check_variant(target)
    needs = tidy(needs)
    _refuse_repositories(needs)
    union = tuple(sorted({line for lines in needs.requirements.values() for line in lines}))
    preferred = environment_versions() | _versions(previous)
    question = Question(union, target, settings_of(sources, os.environ), (), preferred)
    asked, wheels = _with_variant(question)
    return Lock(target, needs, sized(wheels), _roles(asked, wheels, needs))


def environment_versions() -> dict[str, str]:
    """Versions of the releases installed beside Notebook Federator: what the author ran."""
    from importlib import metadata

    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version and _RELEASE.fullmatch(version):
            found.setdefault(normalised(name), version)
    return found


def _versions(previous: Lock | None) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in previous.packages} if previous else {}


def _refuse_repositories(needs: Needs) -> None:
    """Resolving them would run their code here, and no site could install them."""
    for line in (line for lines in needs.requirements.values() for line in lines):
        if match := _SOURCE.match(line):
            name = normalised(match["name"])
            what = f"{name} comes from a repository of source code, but only wheels go into images."
            raise source_only(name, what)


def _with_variant(question: Question) -> tuple[Question, tuple[LockedWheel, ...]]:
    """The answer with the asked variant of torch, and the question that led to it.

    A wheel in a folder comes first, then the indexes that were named, then the one that `uv` knows.
    """
    from .solving import solve
    from .variants import no_variant, other_variant, pin_of, pins_from_folders

    target, settings = question.target, question.settings
    pins = pins_from_folders(settings.folders, question.requirements, target)
    if pins:
        pinned = replace(question, constraints=pins)
        return pinned, solve(pinned)
    if settings.beyond_pypi and not settings.no_index:
        named = replace(question, constraints=pin_of(question.requirements, target))
        wheels = _unless_torch_lacks(named)
        if wheels is not None:
            return named, wheels
    last = question if settings.no_index else replace(question, backend=target.torch)
    wheels = solve(last)
    if other_variant(wheels, target):
        raise no_variant(target)
    return last, wheels


def _unless_torch_lacks(question: Question) -> tuple[LockedWheel, ...] | None:
    """The answer; None where only the asked variant of torch is not to be had."""
    from .solving import solve
    from .variants import is_asked_variant

    try:
        wheels = solve(question)
    except LockUnsolvable as error:
        if error.kind == "conflict" or error.distributions[:1] != ("torch",):
            raise
        return None
    return wheels if is_asked_variant(wheels, question.target) else None


def _roles(
    question: Question, wheels: tuple[LockedWheel, ...], needs: Needs
) -> Mapping[Role, tuple[str, ...]]:
    """The names that each image needs: the same question for its requirements alone, all versions fixed."""
    from concurrent.futures import ThreadPoolExecutor

    from .solving import names

    fixed = tuple(f"{wheel.name}=={wheel.version}" for wheel in wheels)
    every = tuple(wheel.name for wheel in wheels)

    def of(role: Role) -> tuple[str, ...]:
        lines = needs.requirements[role]
        alone = replace(question, requirements=lines, constraints=fixed)
        return every if set(lines) == set(question.requirements) else names(alone)

    with ThreadPoolExecutor() as pool:
        return dict(zip(needs.requirements, pool.map(of, needs.requirements), strict=True))
