"""The current model's names, shapes and dtypes, and whether an update fits them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from nbfed_site.contracts import Array, Arrays, SettingsInvalid, SiteDataFailed, SiteFailed

PIECE = 1 << 16  # elements worked on at a time: three float64 buffers of 512 KiB stay in cache

Layout = dict[str, tuple[tuple[int, ...], "np.dtype[np.generic]"]]


def layout_of(current: Arrays) -> Layout:
    """Shape and dtype of every array of the model, in order; reads each array once.

    Raises:
        SettingsInvalid: an array holds no numbers.
    """
    layout = {name: (array.shape, array.dtype) for name, array in _items(current)}
    for name, (_, dtype) in layout.items():
        if dtype.kind not in "biufc":
            raise SettingsInvalid(f"The model's array {name!r} holds {dtype}, which cannot be averaged.")
    return layout


def check_update(names: Arrays, layout: Layout, weight: float) -> None:
    """Refuse an update with other names than the model's, or with a negative weight.

    Raises:
        SiteFailed: the update does not fit.
    """
    if weight < 0:
        raise SiteFailed(f"An update says that it rests on {weight:g} samples.")
    missing, extra = layout.keys() - names.keys(), names.keys() - layout.keys()
    if missing or extra:
        parts = [f"{_few(missing)} missing"] * bool(missing) + [f"{_few(extra)} not in the model"] * bool(
            extra
        )
        raise SiteFailed(
            f"An update does not hold the model's arrays: {'; '.join(parts)}.",
            hint="Every site must run the image that was built from this notebook.",
        )


def flat(name: str, array: Array, layout: Layout) -> Array:
    """``array`` as one dimension, without a copy where it is contiguous.

    Raises:
        SiteFailed: it has another shape or dtype than the model's array.
    """
    shape, dtype = layout[name]
    if array.shape != shape or array.dtype != dtype:
        raise SiteFailed(
            f"An update's array {name!r} is {array.dtype} {list(array.shape)}, "
            f"but the model's is {dtype} {list(shape)}.",
            hint="Every site must run the image that was built from this notebook.",
        )
    return array.reshape(-1)


def check_weight(total: float) -> None:
    """Refuse to end a round whose updates rest on no sample at all.

    Raises:
        SiteDataFailed: ``total`` is 0.
    """
    if total == 0:
        raise SiteDataFailed(
            "No update of this round rests on any training sample, so there is nothing to aggregate.",
            hint="Look at the sites' sample counts and at why their rounds failed.",
        )


def pieces(size: int, piece: int = PIECE) -> Iterator[slice]:
    """Slices of at most ``piece`` elements that cover ``size`` elements."""
    for start in range(0, size, piece):
        yield slice(start, min(start + piece, size))


def _items(arrays: Arrays) -> Iterator[tuple[str, Array]]:
    for name in arrays:
        yield name, arrays[name]


def _few(names: set[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names)[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
