"""What a site holds: every split counted, cut to its share, and checked before round 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..contracts import ArraySpec, Manifest, SiteCard, SiteDataFailed
from .failures import code_failure
from .partition import Partition
from .split import Count, take
from .watch import Progress

_SAY_IT = (
    'The author writes in the data cell num_examples = {"trainset": len(X_train), "testset": len(X_test)}, '
    "with the names of the notebook's own data."
)
_STATED = {"train": "trainset", "validation": "valset", "test": "testset"}


@dataclass(frozen=True, slots=True)
class SiteData:
    """Counts by split, None where its loader cannot be counted, and what the notebook itself says."""

    counts: Mapping[str, Count | None]
    stated: Mapping[str, int]
    shared: bool

    def samples(self, split: str) -> int | None:
        """Samples of a split; None where neither its loader nor the notebook tells."""
        count = self.counts.get(split)
        return self.stated.get(split) if count is None else count.samples

    def counted(self, split: str) -> int:
        """Samples of a split.

        Raises:
            SiteDataFailed: neither its loader nor the notebook tells; says what to write.
        """
        if (found := self.samples(split)) is None:
            what = f"It cannot be told how many {split} samples the notebook has."
            raise SiteDataFailed(what, hint=_SAY_IT)
        return found

    def card(self, arrays: tuple[ArraySpec, ...]) -> SiteCard:
        """The counts that are shown before round 1."""
        known = {split: count for split, count in self.counts.items() if count is not None}
        told = [split for split in _STATED if split in known or self.stated.get(split)]
        return SiteCard(
            samples={split: self.counted(split) for split in told},
            classes={
                split: found for split, count in known.items() if (found := count.by_class()) is not None
            },
            unreadable={split: count.unreadable for split, count in known.items()},
            arrays=arrays,
            warnings=tuple(
                f"{split}: {text}" for split, count in known.items() for text in self._warn(split, count)
            ),
        )

    def _warn(self, split: str, count: Count) -> list[str]:
        total = count.samples + count.unreadable
        stated = self.stated.get(split, total)
        checks = {
            f"{count.unreadable} of {total} samples cannot be read and are left out.": count.unreadable,
            f"the notebook says {stated} samples, its loader has {total}.": not self.shared
            and stated != total,
            "there is no sample.": not count.samples,
            "all samples are of one class.": len(count.by_class() or ()) == 1,
        }
        return [text for text, applies in checks.items() if applies]


def take_splits(
    names: dict[str, Any], manifest: Manifest, partition: Partition | None, report: Callable[[Progress], None]
) -> SiteData:
    """Count the splits whose loaders ``names`` holds, and cut each down to this site's readable share.

    Raises:
        SiteCodeFailed: no sample of a split can be read.
        SiteDataFailed: there is nothing to train on, or the data cannot be shared.
    """
    own = manifest.names
    loaders = {"train": own.train_loader, "validation": own.validation_loader, "test": own.test_loader}
    held = {split: name for split, name in loaders.items() if name and names.get(name) is not None}
    if partition is not None and "train" not in held:
        raise SiteDataFailed("The notebook's data cannot be shared: no training loader is known.")
    counts: dict[str, Count | None] = {}
    taken: dict[int, tuple[Any, Any, Count | None]] = {}
    for split, name in held.items():
        loader = names[name]
        if id(loader) not in taken:
            share = take(loader, partition, lambda done, size: report(Progress("prepare", 0, 0, done, size)))
            taken[id(loader)] = (loader, *share)
        _, names[name], count = taken[id(loader)]
        if count is not None and count.error is not None:
            raise code_failure("data", count.error, manifest) from count.error
        counts[split] = count
    numbers = names.get(own.num_examples or "")
    numbers = numbers if isinstance(numbers, Mapping) else {}
    stated = {split: int(numbers[key]) for split, key in _STATED.items() if key in numbers}
    data = SiteData(counts, stated, partition is not None)
    if not data.counted("train"):
        raise SiteDataFailed(
            "There is no training sample at this site.", hint="Check the site's data folder."
        )
    return data
