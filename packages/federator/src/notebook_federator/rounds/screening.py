"""The server's own look at an update: a site that was tampered with must not spoil the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nbfed_site.contracts import Array, ArraySpec, RoundOutput, SiteFailure, UpdateRefused

_CHUNK = 1 << 20


def screen_update(output: RoundOutput, specs: Sequence[ArraySpec]) -> SiteFailure | None:
    """Why the arrays of ``output`` cannot be aggregated; None where they can.

    They must be the model's: same names, shapes and dtypes, every number finite, from at least one
    example.
    """
    arrays = output.arrays or {}
    if output.num_examples < 1:
        return _refused(f"it rests on {output.num_examples} examples")
    names = [spec.name for spec in specs]
    if list(arrays) != names:
        strange = sorted(set(arrays) ^ set(names)) or ["their order"]
        return _refused(f"its arrays are not the model's: {', '.join(strange[:3])}")
    for spec in specs:
        array = arrays[spec.name]
        if (array.shape, str(array.dtype)) != (spec.shape, spec.dtype):
            return _refused(f"{spec.name} is {array.dtype} {array.shape}, not {spec.dtype} {spec.shape}")
        if not _finite(array):
            return _refused(f"{spec.name} holds numbers that are not finite")
    return None


def _finite(array: Array) -> bool:
    if array.dtype.kind not in "fc":
        return True
    flat = array.reshape(-1)
    return all(bool(np.isfinite(flat[start : start + _CHUNK]).all()) for start in range(0, flat.size, _CHUNK))


def _refused(why: str) -> SiteFailure:
    return SiteFailure(
        UpdateRefused.code,
        f"The update is refused: {why}.",
        hint="The site's image may have been changed; compare its digest with the federation's.",
    )
