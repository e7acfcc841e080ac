"""How a manifest is to be split, and what that means for one manifest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nbfed_site.contracts import BadInput

from .manifest import SETS, Patch, SetName

TABLE_1: Mapping[str, tuple[int, int, int]] = {"1": (1554, 2627, 1005), "0": (5609, 4694, 3979)}
"""Patches per institution, tumorous (1) and non-tumorous (0), of Launet et al., Appl. Sci. 2023, 13(2),
919, table 1."""

SET_SHARES: Mapping[SetName, float] = {"train": 0.60, "val": 0.15, "test": 0.25}

Proportions = Sequence[float] | Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How to split.

    Attributes:
        seed: decides between equally good assignments, and which patches a limit keeps.
        sites: number of sites; None for one per institution of the manifest, or else three.
        proportions: of the sites, for all classes or per class; None for ``TABLE_1`` where it
            fits (three sites, classes 0 and 1), otherwise equal.
        set_shares: of training, validation and test at each site.
        ignore_institutions, ignore_splits: leave those columns of the manifest aside.
        limit: most patches per site, set and class; None for all.
    """

    seed: int = 0
    sites: int | None = None
    proportions: Proportions | None = None
    set_shares: Mapping[SetName, float] = field(default_factory=lambda: SET_SHARES)
    ignore_institutions: bool = False
    ignore_splits: bool = False
    limit: int | None = None


def settle(settings: SplitSettings, patches: Sequence[Patch]) -> SplitSettings:
    """``settings`` made complete for one manifest: columns that it lacks count as ignored.

    Raises:
        BadInput: settings have no meaning, contradict each other or the manifest.
    """
    if settings.limit is not None and settings.limit < 1:
        raise BadInput(f"A limit of {settings.limit} patches leaves nothing.", hint="Use 1 or more.")
    if settings.sites is not None and settings.sites < 1:
        raise BadInput(f"{settings.sites} sites cannot be made.", hint="Ask for at least one.")
    if any(settings.set_shares.get(name, 0) <= 0 for name in SETS):
        raise BadInput("The shares of train, val and test must all be greater than 0.")
    institutions = not settings.ignore_institutions and _known("institution", patches)
    splits = not settings.ignore_splits and _known("set", patches)
    asked = 3 if settings.sites is None else settings.sites
    count = len({patch.institution for patch in patches}) if institutions else asked
    if institutions:
        _check_institutions(settings, count)
    return SplitSettings(
        settings.seed,
        count,
        settings.proportions,
        settings.set_shares,
        not institutions,
        not splits,
        settings.limit,
    )


def _known(column: str, patches: Sequence[Patch]) -> bool:
    """Whether all patches name their institution (or set); False where none does."""
    missing = sum(not getattr(patch, column) for patch in patches)
    if 0 < missing < len(patches):
        word = "split" if column == "set" else column
        raise BadInput(
            f"{missing} of {len(patches)} lines of the manifest have no {word}.",
            hint=f"Fill the column in, or leave it aside with --ignore-{word}s.",
        )
    return not missing


def _check_institutions(settings: SplitSettings, count: int) -> None:
    hint = "Use --ignore-institutions to assign patients to sites anew."
    if settings.sites not in {None, count}:
        raise BadInput(f"The manifest names {count} institutions, not {settings.sites}.", hint=hint)
    if settings.proportions is not None:
        raise BadInput("The manifest says which institution has what; proportions change nothing.", hint=hint)


def site_names(patches: Sequence[Patch], settings: SplitSettings) -> dict[str, str]:
    """Folder name by institution (or by number where institutions are not used), in order; for
    settled ``settings``.

    Raises:
        BadInput: two institutions come to the same folder name.
    """
    if settings.ignore_institutions:
        return {str(number): f"site-{number}" for number in range(1, (settings.sites or 0) + 1)}
    institutions = sorted({patch.institution for patch in patches}, key=_natural)
    names = {institution: _folder(institution) for institution in institutions}
    twice = [name for name, number in Counter(names.values()).items() if number > 1]
    if twice:
        raise BadInput("Two institutions come to the same folder name.", where=twice[0], hint="Rename one.")
    return names


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def _folder(institution: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", institution.lower()).strip("-")
    return slug if slug and not slug.isdecimal() else f"site-{slug or 'unnamed'}"


def label_shares(
    patches: Sequence[Patch], settings: SplitSettings, sites: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Per site, the fraction of each class that it should get.

    Raises:
        BadInput: proportions of another number of sites, of missing classes, or below 0.
    """
    labels = sorted({patch.label for patch in patches})
    asked = settings.proportions
    if asked is None:
        asked = TABLE_1 if len(sites) == 3 and set(labels) <= set(TABLE_1) else [1.0] * len(sites)
    shares: dict[str, dict[str, float]] = {site: {} for site in sites}
    for label in labels:
        numbers = asked.get(label, ()) if isinstance(asked, Mapping) else asked
        if len(numbers) != len(sites) or min(numbers) < 0 or sum(numbers) <= 0:
            raise BadInput(
                f"The proportions of class {label} are {list(numbers)}; "
                f"there must be {len(sites)} numbers, none below 0.",
                hint="Give one number for each site, in order.",
            )
        for site, number in zip(sites, numbers, strict=True):
            shares[site][label] = number / sum(numbers)
    return shares
