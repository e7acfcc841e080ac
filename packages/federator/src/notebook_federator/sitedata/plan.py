"""Which patch goes to which site and set: pure, no files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nbfed_site.contracts import BadInput, derive_seed

from .assignment import assign_groups
from .manifest import SETS, Patch, SetName
from .settings import SplitSettings, label_shares, settle, site_names

Place = tuple[str, SetName]
Shares = Mapping[Place, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Patches by place, in the order of the manifest.

    ``wanted`` are the counts that the asked proportions come to (fractions of a patch included);
    ``notes`` are plain sentences about what the reader should know.
    """

    sites: tuple[str, ...]
    places: Mapping[Place, tuple[Patch, ...]]
    wanted: Mapping[Place, Mapping[str, float]]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Pool:
    """Patches whose manifest lines allow the same places."""

    groups: dict[str, list[Patch]] = field(default_factory=lambda: defaultdict(list))

    def counts(self) -> dict[str, Counter[str]]:
        return {name: Counter(patch.label for patch in patches) for name, patches in self.groups.items()}


def plan_split(patches: Sequence[Patch], settings: SplitSettings) -> Plan:
    """Place every patch; all patches of a patient go to one site and one set.

    What the manifest says of institutions and splits is kept unless ``settings`` ignore it. Sets
    that the manifest does not name are cut from its training patients.

    Raises:
        BadInput: the settings do not fit the manifest, a patient stands in two institutions or
            two splits, or there are too few patients to give every site every set.
    """
    settings = settle(settings, patches)
    sites = site_names(patches, settings)
    placed: dict[Place, list[Patch]] = {(site, name): [] for site in sites.values() for name in SETS}
    wanted: dict[Place, dict[str, float]] = {place: defaultdict(float) for place in placed}
    for key, pool in _pools(patches, settings).items():
        shares = _shares(key, patches, settings, sites)
        counts = pool.counts()
        chosen = assign_groups(counts, shares, derive_seed(settings.seed, "split", *key))
        for group, place in chosen.items():
            placed[place] += pool.groups[group]
        _add_wanted(wanted, shares, counts)
    position = {patch: index for index, patch in enumerate(patches)}
    limited = {
        place: _limit(sorted(group, key=position.__getitem__), settings) for place, group in placed.items()
    }
    _check_filled(limited, patches)
    return Plan(
        tuple(sites.values()), limited, _limit_wanted(wanted, settings.limit), _notes(limited, patches)
    )


def group_of(patch: Patch) -> str:
    """What must stay together with ``patch``: its patient, or itself where none is known."""
    return f"patient {patch.patient}" if patch.patient else f"file {patch.file}"


def _pools(patches: Sequence[Patch], settings: SplitSettings) -> dict[tuple[str, str], _Pool]:
    pools: dict[tuple[str, str], _Pool] = defaultdict(_Pool)
    owner: dict[str, tuple[str, str]] = {}
    for patch in patches:
        key = (
            "" if settings.ignore_institutions else patch.institution,
            "" if settings.ignore_splits else patch.set or "",
        )
        group = group_of(patch)
        if owner.setdefault(group, key) != key:
            raise BadInput(
                "A patient stands in two institutions or in two splits of the manifest.",
                where=group,
                hint="Mend the manifest, or have patients assigned anew with --ignore-institutions "
                "or --ignore-splits.",
            )
        pools[key].groups[group].append(patch)
    return dict(sorted(pools.items()))


def _shares(
    key: tuple[str, str], patches: Sequence[Patch], settings: SplitSettings, sites: Mapping[str, str]
) -> Shares:
    """The fraction of each class of one pool that each place should get."""
    institution, split = key
    sets = _sets_of(split, patches, settings)
    by_site = {institution: None} if institution else label_shares(patches, settings, tuple(sites))
    labels = sorted({patch.label for patch in patches})
    return {
        (sites[site], name): {label: part * (1.0 if per is None else per[label]) for label in labels}
        for site, per in by_site.items()
        for name, part in sets.items()
    }


def _sets_of(split: str, patches: Sequence[Patch], settings: SplitSettings) -> dict[SetName, float]:
    """The sets that patches of one manifest split may go to, with their fractions."""
    named = {patch.set for patch in patches} if split else set()
    if split and "train" not in named:
        raise BadInput("The manifest's splits name no 'train'.", hint="Use --ignore-splits to split anew.")
    allowed = [name for name in SETS if name == split or (split in {"", "train"} and name not in named)]
    total = sum(settings.set_shares[name] for name in allowed)
    return {name: settings.set_shares[name] / total for name in allowed}


def _add_wanted(
    wanted: dict[Place, dict[str, float]], shares: Shares, counts: Mapping[str, Counter[str]]
) -> None:
    totals = sum(counts.values(), Counter[str]())
    for place, per_label in shares.items():
        for label, total in totals.items():
            wanted[place][label] += per_label[label] * total


def _limit_wanted(
    wanted: Mapping[Place, Mapping[str, float]], limit: int | None
) -> dict[Place, dict[str, float]]:
    return {
        place: {
            label: count if limit is None else min(count, limit) for label, count in sorted(counts.items())
        }
        for place, counts in wanted.items()
    }


def _limit(patches: Sequence[Patch], settings: SplitSettings) -> tuple[Patch, ...]:
    """At most ``limit`` patches of each class: those of lowest rank, otherwise drawn by the seed."""
    if settings.limit is None:
        return tuple(patches)
    ranked = not (settings.ignore_institutions or settings.ignore_splits)
    by_label: dict[str, list[Patch]] = defaultdict(list)
    for patch in patches:
        by_label[patch.label].append(patch)

    def order(patch: Patch) -> tuple[float, int]:
        rank = patch.rank if ranked and patch.rank is not None else float("inf")
        return rank, derive_seed(settings.seed, "limit", patch.file)

    kept = {patch for group in by_label.values() for patch in sorted(group, key=order)[: settings.limit]}
    return tuple(patch for patch in patches if patch in kept)


def _check_filled(places: Mapping[Place, Sequence[Patch]], patches: Sequence[Patch]) -> None:
    empty = [f"{site} {name}" for (site, name), group in places.items() if not group]
    if empty:
        groups = len({group_of(patch) for patch in patches})
        raise BadInput(
            f"{groups} patients are too few: nothing is left for {', '.join(empty)}.",
            hint="Ask for fewer sites or other shares; every site needs a patient in each of its three sets.",
        )


def _notes(places: Mapping[Place, Sequence[Patch]], patches: Sequence[Patch]) -> tuple[str, ...]:
    notes = []
    strangers = sum(not patch.patient for patch in patches)
    if strangers:
        notes.append(
            f"{strangers} of {len(patches)} patches name no patient: "
            "patches of one patient may be at two sites, or in training and test."
        )
    labels = {patch.label for patch in patches}
    notes += [
        f"{site}: {name} has no patch of class {label}."
        for (site, name), group in places.items()
        for label in sorted(labels - {patch.label for patch in group})
    ]
    return tuple(notes)
