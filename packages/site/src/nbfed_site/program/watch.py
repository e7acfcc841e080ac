"""Seeing what the notebook iterates while its own code runs, without changing what it sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from .split import is_dataloader, is_whole

_FEW, _LONG = 4, 5.0  # batches after the first, and seconds that they may take


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase is; all counts are 1-based, 0 where not known."""

    phase: Literal["prepare", "train"]
    epoch: int
    epochs: int
    batch: int
    batches: int


class Listener:
    """Hears of passes over the watched loader, and lets them be."""

    def begin(self, loader: Any) -> None:
        """A pass begins."""

    def batch(self, batch: Any) -> None:
        """A batch is about to be given to the notebook's code."""

    def enough(self) -> bool:
        """Whether the pass ends here, now that the notebook's code asks for the next batch."""
        return False

    def rest(self) -> None:
        """The pass is over, or another loader gives the next batch."""


class Pacer(Listener):
    """Reports training at most twice a second, and each new epoch."""

    def __init__(self, epochs: int, report: Callable[[Progress], None]) -> None:
        self._epochs, self._report = epochs, report
        self._epoch = self._batch = self._batches = 0
        self._next = 0.0

    def begin(self, loader: Any) -> None:
        self._epoch, self._batch, self._next = self._epoch + 1, 0, 0.0
        self._batches = _length(loader)

    def batch(self, batch: Any) -> None:
        self._batch += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.5
            self._report(Progress("train", self._epoch, self._epochs, self._batch, self._batches))


class Sampler(Listener):
    """Ends each pass after a few batches, and tells how much longer whole passes would have taken.

    The first batch of a pass is warm-up: it is taken to last as long as the others. A loader without
    a length runs whole.

    Attributes:
        beyond: seconds to add to those that were spent. cut: whether a pass was ended early.
    """

    def __init__(self, cuts: bool = True, clock: Callable[[], float] = time.perf_counter) -> None:
        self._cuts, self._clock, self.cut = cuts, clock, False
        self._batch = self._batches = 0
        self._begun = self._warm = self.beyond = 0.0

    def begin(self, loader: Any) -> None:
        self._batch, self._batches, self._begun = 0, _length(loader), self._clock()

    def batch(self, batch: Any) -> None:
        self._batch += 1

    def enough(self) -> bool:
        now, counted = self._clock(), self._batch - 1
        if counted == 0:
            self._warm = now
        over = self._batch == self._batches or counted == _FEW or (counted and now - self._warm > _LONG)
        if not (self._cuts and self._batches and over):
            return False
        self.cut |= self._batch < self._batches
        each = (now - self._warm) / counted if counted else now - self._begun
        self.beyond += each * self._batches - (now - self._begun)
        return True


def _length(loader: Any) -> int:
    try:
        return len(loader)
    except TypeError:
        return 0


class _Watched:
    """Stands in for a loader that is no DataLoader; all but iteration is the loader's own."""

    def __init__(self, loader: Any, listener: Listener) -> None:
        self._loader, self._listener = loader, listener

    def __iter__(self) -> Iterator[Any]:
        return _passed(self._loader, iter(self._loader), self._listener)

    def __len__(self) -> int:
        return len(self._loader)

    def __getitem__(self, position: Any) -> Any:
        return self._loader[position]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


@contextmanager
def watching(namespace: dict[str, Any], name: str | None, listener: Listener) -> Iterator[None]:
    """Tell ``listener`` of passes over the loader that ``name`` holds, while the context lasts.

    Without a name, every DataLoader is watched. ``(X, y)`` held in memory is left alone.
    """
    loader = namespace.get(name) if name else None
    if name is None or is_dataloader(loader):
        with _watching_dataloaders(loader, listener):
            yield
    elif is_whole(loader):
        yield
    else:
        namespace[name] = _Watched(loader, listener)
        yield  # the namespace is restored as a whole after each task


@contextmanager
def _watching_dataloaders(target: Any, listener: Listener) -> Iterator[None]:
    from torch.utils.data import DataLoader

    original = DataLoader.__iter__

    def iterate(self: Any) -> Iterator[Any]:
        passing = _passed if target is None or self is target else _passed_by
        return passing(self, original(self), listener)

    DataLoader.__iter__ = iterate  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        DataLoader.__iter__ = original  # type: ignore[method-assign]


def _passed(loader: Any, batches: Iterator[Any], listener: Listener) -> Iterator[Any]:
    listener.begin(loader)
    for batch in batches:
        listener.batch(batch)
        yield batch
        if listener.enough():
            break
    listener.rest()


def _passed_by(loader: Any, batches: Iterator[Any], listener: Listener) -> Iterator[Any]:
    for batch in batches:
        listener.rest()
        yield batch
