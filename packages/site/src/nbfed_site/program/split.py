"""One split of a site's data: counted before round 1, and cut down to what this site trains on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import SiteDataFailed
from .labels import as_class, as_classes, label_of
from .partition import Partition

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Count:
    """Samples of a split, those that cannot be read left out.

    ``classes`` is None where labels are not classes; ``error`` is what the first unreadable sample raised.
    """

    samples: int
    classes: NDArray[np.int64] | None
    unreadable: int = 0
    error: Exception | None = None

    def by_class(self) -> dict[str, int] | None:
        """Samples of each class."""
        if self.classes is None:
            return None
        values, counts = np.unique(self.classes, return_counts=True)
        return {str(value): int(count) for value, count in zip(values, counts, strict=True)}


def take(loader: Any, partition: Partition | None, report: Report) -> tuple[Any, Count | None]:
    """The loader of this site's readable share, and its count; None where ``loader`` cannot be counted.

    A torch DataLoader is cut down in place, so that every name that holds it sees the share.

    Raises:
        SiteDataFailed: a share is asked of something that cannot be shared.
    """
    if is_dataloader(loader):
        return loader, _take_dataloader(loader, partition, report)
    if is_whole(loader):
        return _take_whole(loader, partition)
    if partition is not None:
        raise _not_shareable(type(loader).__name__)
    if isinstance(loader, list | tuple):
        labels = [as_classes(label_of(batch)) for batch in loader]
        known = [part for part in labels if part is not None]
        if known and len(known) == len(loader):
            return loader, Count(sum(map(len, known)), np.concatenate(known))
    return loader, None


def is_dataloader(loader: Any) -> bool:
    """Whether ``loader`` is a torch DataLoader (told without importing torch)."""
    return any(base.__module__ == "torch.utils.data.dataloader" for base in type(loader).__mro__)


def is_whole(loader: Any) -> bool:
    """Whether ``loader`` is ``(X, y)``: one to three arrays over the same samples."""
    if not isinstance(loader, list | tuple) or len(loader) not in (1, 2, 3):
        return False
    arrays = all(hasattr(part, "shape") and part.ndim > 0 for part in loader)
    return arrays and len({len(part) for part in loader}) == 1


def _not_shareable(kind: str) -> SiteDataFailed:
    hint = "Return torch DataLoaders (shuffle=True rather than an own sampler), or give each site a folder."
    return SiteDataFailed(f"The notebook's data, a {kind}, cannot be shared among sites.", hint=hint)


def _take_whole(loader: Any, partition: Partition | None) -> tuple[Any, Count]:
    labels = as_classes(label_of(loader))
    positions = np.arange(len(loader[0]))
    if partition is not None:
        positions = partition.positions(positions.size, labels)
        loader = type(loader)(getattr(part, "iloc", part)[positions] for part in loader)
    return loader, Count(positions.size, None if labels is None else labels[positions])


def _take_dataloader(loader: Any, partition: Partition | None, report: Report) -> Count | None:
    drawn = _drawn_positions(loader)
    if drawn is None:
        if partition is not None:
            raise _not_shareable("DataLoader with its own sampler")
        return None
    positions, labels, bad = drawn, _exposed_labels(loader.dataset), set[int]()
    exposed = labels is not None
    if not exposed:
        labels, bad = _read(loader, positions, report)
    if partition is not None:
        known = None if labels is None else labels[positions]
        positions = positions[partition.positions(positions.size, known)]
    if exposed and not _in_memory(loader.dataset):
        bad = _read(loader, positions, report)[1]
    readable = np.array([position for position in positions.tolist() if position not in bad], np.int64)
    unreadable = positions.size - readable.size
    error = _error(loader.dataset, min(bad)) if unreadable and not readable.size else None
    if readable.size < drawn.size:
        _narrow(loader, readable)
    return Count(readable.size, None if labels is None else labels[readable], unreadable, error)


def _drawn_positions(loader: Any) -> NDArray[np.int64] | None:
    """Positions in ``loader.dataset`` that its sampler draws from; None for an unknown sampler."""
    from torch.utils import data

    sampler = loader.sampler
    if loader.batch_size is None and loader.batch_sampler is not None:
        return None
    if isinstance(sampler, data.SubsetRandomSampler | list | tuple | range):
        return np.asarray(getattr(sampler, "indices", sampler), np.int64)
    plain = (data.SequentialSampler, data.RandomSampler, data.WeightedRandomSampler)
    return np.arange(len(loader.dataset)) if type(sampler) in plain else None


def _exposed_labels(dataset: Any) -> NDArray[np.int64] | None:
    """The class of every sample, where the data set holds a list of them."""
    from torch.utils import data

    if isinstance(dataset, data.Subset):
        base = _exposed_labels(dataset.dataset)
        return None if base is None else base[np.asarray(dataset.indices, np.int64)]
    if isinstance(dataset, data.ConcatDataset):
        parts = [_exposed_labels(part) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if len(known) == len(parts) else None
    if isinstance(dataset, data.TensorDataset):
        return as_classes(label_of(dataset.tensors))
    for name in ("targets", "labels", "label", "y"):
        labels = as_classes(getattr(dataset, name, None))
        if labels is not None and len(labels) == len(dataset):
            return labels
    return None


def _in_memory(dataset: Any) -> bool:
    from torch.utils import data

    while isinstance(dataset, data.Subset):
        dataset = dataset.dataset
    parts = dataset.datasets if isinstance(dataset, data.ConcatDataset) else ()
    return isinstance(dataset, data.TensorDataset) or (bool(parts) and all(map(_in_memory, parts)))


@dataclass(frozen=True, slots=True)
class _Probe:
    """A data set of classes only: -1 where a sample raises, -2 where its label is not a class."""

    dataset: Any

    def __getitem__(self, position: int) -> int:
        try:
            label = as_class(label_of(self.dataset[position]))
        except Exception:
            return -1
        return -2 if label is None else label


def _read(
    loader: Any, positions: NDArray[np.int64], report: Report
) -> tuple[NDArray[np.int64] | None, set[int]]:
    """Read every sample once, with the loader's own number of workers: classes by position (None if
    some have none), and the positions that raise."""
    from torch.utils.data import DataLoader

    labels = np.full(len(loader.dataset), -1, np.int64)
    done = 0
    probe: Any = _Probe(loader.dataset)
    workers = loader.num_workers
    for batch in DataLoader(probe, 32, sampler=positions.tolist(), num_workers=workers, collate_fn=list):
        labels[positions[done : done + len(batch)]] = batch
        done += len(batch)
        report(done, positions.size)
    bad = set(positions[labels[positions] == -1].tolist())
    return (None if (labels == -2).any() else labels), bad


def _error(dataset: Any, position: int) -> Exception | None:
    try:
        dataset[position]
    except Exception as error:
        return error
    return None


def _narrow(loader: Any, keep: NDArray[np.int64]) -> None:
    """Let ``loader`` draw from positions ``keep`` of its data set only, all else as it was.

    A shuffled loader whose last batch would now hold a single sample leaves that batch out: batch
    normalisation cannot train on one sample.
    """
    from torch.utils import data

    old, sampler = loader.sampler, None
    shuffle = keep.size > 0 and isinstance(old, data.RandomSampler | data.SubsetRandomSampler)
    if isinstance(old, data.WeightedRandomSampler):
        number = max(1, round(old.num_samples * keep.size / len(loader.dataset)))
        sampler = data.WeightedRandomSampler(
            old.weights[keep].tolist(), number, old.replacement, old.generator
        )
    same = "batch_size num_workers collate_fn pin_memory timeout worker_init_fn "
    same += "multiprocessing_context prefetch_factor persistent_workers"
    size = loader.batch_size or keep.size
    rebuilt: Any = data.DataLoader(
        data.Subset(loader.dataset, keep.tolist()),
        sampler=sampler,
        shuffle=shuffle,
        drop_last=loader.drop_last or (shuffle and 1 < size < keep.size and keep.size % size == 1),
        generator=loader.generator or getattr(old, "generator", None),
        **{name: getattr(loader, name) for name in same.split()},
    )
    vars(loader).update(vars(rebuilt))
