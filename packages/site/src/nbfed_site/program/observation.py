"""Confusion counts from the notebook's own test run: only counts are kept, and never wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .labels import as_array, as_classes, label_of
from .watch import Listener

Confusion = tuple[tuple[int, ...], ...]
_TOLERANCE = 0.005  # two decimals of the notebook's own rounding


class _Pass:
    """Labels against outputs in one pass over the test set."""

    def __init__(self) -> None:
        self.batches = self.counted = 0
        self.matrix: NDArray[np.int64] | None = None
        self.scores: list[NDArray[np.float64]] = []
        self.labels: list[NDArray[np.int64]] = []

    def add(self, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> str:
        """Count one batch; returns what is wrong with it, or nothing."""
        classes = scores.shape[1]
        if labels.size and labels.max() >= max(classes, 2):
            return "a label is beyond the model's outputs"
        self.counted += 1
        if classes == 1:
            self.scores.append(scores[:, 0])
            self.labels.append(labels)
        else:
            self.matrix = np.zeros((classes, classes), np.int64) if self.matrix is None else self.matrix
            if self.matrix.shape[0] != classes:
                return "the number of outputs changed"
            np.add.at(self.matrix, (labels, scores.argmax(axis=1)), 1)
        return ""

    def confusion(self) -> Confusion:
        """A single output is positive above 0.5 if all outputs are in [0, 1] (probabilities), else
        above 0 (logits)."""
        matrix = np.zeros((2, 2), np.int64) if self.matrix is None else self.matrix
        if self.scores:
            scores, labels = np.concatenate(self.scores), np.concatenate(self.labels)
            threshold = 0.5 if ((scores >= 0) & (scores <= 1)).all() else 0.0
            np.add.at(matrix, (labels, (scores > threshold).astype(np.int64)), 1)
        return tuple(tuple(int(count) for count in row) for row in matrix)


class TestObserver(Listener):
    """Pairs the labels of each batch of the test loader with the model's output for it.

    Whatever does not pair one to one makes :meth:`result` give no counts, and the reason.

    Args:
        whole: the test set as arrays in memory, labels last; a call of the model on their next rows is a
            batch of them, on all rows one that may have been transformed.
    """

    def __init__(self, whole: Any = None) -> None:
        self._passes: list[_Pass] = []
        self._pending: NDArray[np.int64] | None = None
        self._active = False
        self._problem = ""
        self._whole = whole
        if whole is not None:
            self.begin(whole)
            self.batch(whole)

    def begin(self, loader: Any) -> None:
        self._passes.append(_Pass())

    def batch(self, batch: Any) -> None:
        self._active = True
        self._passes[-1].batches += 1
        self._pending = as_classes(label_of(batch))
        if self._pending is None:
            self._problem = "the labels are not classes"

    def rest(self) -> None:
        self._active = False

    def output(self, scores: NDArray[np.float64] | None, given: Any = None) -> None:
        """The model was called with ``given``."""
        if not self._active or self._problem:
            return
        labels, self._pending = self._pending, None
        if self._whole is not None and labels is not None and scores is not None:
            labels = self._rows(labels, len(scores), given)
        if labels is None:
            self._problem = "the model is called more than once for a batch"
        elif scores is None:
            self._problem = "the model's output is not one score per class"
        elif len(scores) != len(labels):
            self._problem = "the model's output does not fit the batch's labels"
        else:
            self._problem = self._passes[-1].add(scores, labels)

    def _rows(self, labels: NDArray[np.int64], number: int, given: Any) -> NDArray[np.int64]:
        """Of a test set held in memory, whose ``labels`` are left: those of the rows that were ``given``."""
        start = len(self._whole[0]) - len(labels)
        if start == 0 and number == len(labels):
            return labels
        if not _are_equal(given, self._whole[0][start : start + number]):
            return labels[:0]
        if number < len(labels):
            self._passes[-1].batches += 1
            self._pending = labels[number:]
        return labels[:number]

    def result(self) -> tuple[Confusion | None, str]:
        """The counts, or None and why not."""
        counted = [one for one in self._passes if one.counted]
        if self._problem or not counted:
            return None, self._problem or "the test does not call the model on the test loader's batches"
        if any(one.counted != one.batches for one in counted):
            return None, "the model is not called for every batch"
        found = {one.confusion() for one in counted}
        return (found.pop(), "") if len(found) == 1 else (None, "several passes over the test set differ")


def _are_equal(one: Any, other: Any) -> bool:
    """Whether two batches hold the same values; ``other`` in the number type of ``one``."""
    try:
        found = as_array(one)
        return np.array_equal(found, as_array(other).astype(found.dtype))
    except (TypeError, ValueError, RuntimeError):
        return False


def disagreement(confusion: Confusion, accuracy: Any) -> str:
    """A sentence if the notebook's own ``accuracy`` (0 to 1, or percent) is not the counted one."""
    try:
        accuracy = float(accuracy)
    except (TypeError, ValueError, RuntimeError):
        return ""
    counted = sum(row[k] for k, row in enumerate(confusion)) / max(1, sum(map(sum, confusion)))
    if min(abs(accuracy - counted), abs(accuracy / 100 - counted)) <= _TOLERANCE:
        return ""
    return (
        f"The notebook's accuracy, {accuracy:.4g}, is not the {counted:.4g} counted from labels and outputs."
    )
