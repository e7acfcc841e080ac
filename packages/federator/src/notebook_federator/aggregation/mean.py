"""The mean of updates weighted by samples, one update at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from nbfed_site.contracts import Array, Arrays
from numpy.typing import NDArray

from .layout import PIECE, Layout, check_update, check_weight, flat, layout_of, pieces

CHANGED_PIECE = 1 << 13  # a server optimizer makes some temporaries: 64 KiB each come from the heap

Mean = NDArray[Any]
Change = Callable[[str, slice, Mean], None]


class RunningMean:
    """Holds ``mean += (update - mean) * weight / total`` (West 1979), in float64.

    The running form needs no total in advance, gives a single update or equal updates back bit for
    bit, and never leaves the range of its inputs. float64 accumulators cost 8 bytes an element
    (1.1 GB for 550 MB of float32) and were chosen by measurement: float32 with a 16-bit
    compensation would save a quarter of that and take three times as long for each update. All
    work is done in cache-sized pieces, so no temporary is larger than a piece.
    """

    def __init__(self) -> None:
        self._layout: Layout = {}
        self._means: dict[str, Mean] = {}
        self._total: float = 0

    @property
    def layout(self) -> Layout:
        return self._layout

    def begin(self, current: Arrays) -> None:
        """Forget everything, and expect updates with the arrays of ``current``."""
        self._layout, self._means, self._total = layout_of(current), {}, 0

    def add(self, arrays: Arrays, weight: float) -> None:
        """Take one update in; one with no weight is checked by name and then left out.

        Raises:
            SiteFailed: the update does not fit. The round must then be begun again.
        """
        check_update(arrays, self._layout, weight)
        if weight == 0:
            return
        self._total += weight
        share = weight / self._total
        for name, (_, dtype) in self._layout.items():
            update = flat(name, arrays[name], self._layout)
            if name not in self._means:
                self._means[name] = update.astype(np.result_type(dtype, np.float64))
                continue
            _move(self._means[name], update, share)
            del update

    def finish(self, change: Change | None = None) -> dict[str, Array]:
        """The mean in the model's dtypes; ``change`` may alter each piece of it first, in place.

        ``change`` is called for arrays of floats only: integers and booleans (such as BatchNorm's
        ``num_batches_tracked``) are the weighted mean, rounded half to even. Memory never grows:
        each result takes the front of its own accumulator, and the rest is given back.

        Raises:
            SiteDataFailed: there was no update, or none with a sample.
        """
        check_weight(self._total)
        result = {}
        for name, (shape, dtype) in self._layout.items():
            mean = self._means.pop(name)
            settle = change if dtype.kind in "fc" else None
            result[name] = _narrow(mean, dtype, settle, name).reshape(shape)
        self._total = 0
        return result


def _move(mean: Mean, update: Array, share: float) -> None:
    """``mean += (update - mean) * share`` in pieces."""
    buffer = np.empty(min(PIECE, mean.size), mean.dtype)
    for piece in pieces(mean.size):
        target, step = mean[piece], buffer[: piece.stop - piece.start]
        np.copyto(step, update[piece])
        step -= target
        step *= share
        target += step


def _narrow(mean: Mean, dtype: np.dtype[np.generic], change: Change | None, name: str) -> Array:
    """Cast ``mean`` (1-D) to ``dtype`` within its own memory, front to back, and shrink that."""
    size, result = mean.size, mean.view(np.uint8)[: mean.size * dtype.itemsize].view(dtype)
    length = PIECE if change is None else CHANGED_PIECE
    buffer = np.empty(min(length, size), mean.dtype)
    for piece in pieces(size, length):
        values = buffer[: piece.stop - piece.start]
        np.copyto(values, mean[piece])
        if change is not None:
            change(name, piece, values)
        result[piece] = rounded(values, dtype)
    del result
    mean.resize(-(-size * dtype.itemsize // mean.dtype.itemsize), refcheck=False)
    return mean.view(np.uint8)[: size * dtype.itemsize].view(dtype)


def rounded(values: Mean, dtype: np.dtype[np.generic]) -> Array:
    """Floats cast to ``dtype``: rounded and kept in range for integers, a majority for booleans."""
    if dtype.kind not in "biu":
        return values.astype(dtype)
    whole = np.rint(values)
    if dtype.kind == "b":
        return whole.astype(dtype)
    info = np.iinfo(dtype)  # type: ignore[type-var]
    highest = np.float64(info.max)
    if int(highest) > info.max:
        highest = np.nextafter(highest, 0)
    return np.clip(whole, info.min, highest).astype(dtype)
