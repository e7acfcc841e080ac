"""Class labels as they come out of data sets and loaders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEYS = ("label", "labels", "target", "targets", "y", "class")


def label_of(item: Any) -> Any:
    """The label part of a sample or a batch: ``(x, y)``, ``(x, ..., y)`` or a mapping; else None."""
    if isinstance(item, Mapping):
        return next((item[key] for key in _KEYS if key in item), None)
    if not isinstance(item, tuple | list) or len(item) < 2:
        return None
    return item[1] if len(item) == 2 else next((part for part in item[1:] if np.ndim(part) <= 1), None)


def as_array(values: Any) -> NDArray[np.generic]:
    """Values of a tensor on any device, or of anything else that NumPy takes."""
    array: NDArray[np.generic] = np.asarray(values.detach().cpu() if hasattr(values, "cpu") else values)
    return array


def as_classes(labels: Any) -> NDArray[np.int64] | None:
    """Labels of a batch as [B] class numbers, from [B], [B, 1] or one-hot [B, K]; None if they are
    not classes: more dimensions, negative, or floats other than 0 and 1."""
    try:
        values = as_array(labels)
    except (TypeError, ValueError, RuntimeError):
        return None
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2):
        return None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    elif values.ndim == 2:
        if not np.isin(values, (0, 1)).all() or (values.sum(axis=1) != 1).any():
            return None
        values = values.argmax(axis=1)
    if values.dtype.kind == "f" and not np.isin(values, (0, 1)).all():
        return None
    classes = values.astype(np.int64)
    return classes if classes.size == 0 or classes.min() >= 0 else None


def as_class(label: Any) -> int | None:
    """The class number of one sample's label (a number, [1], or one-hot [K]); None if not a class."""
    try:
        classes = as_classes(np.asarray(label).reshape(1, -1))
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if classes is None else int(classes[0])
