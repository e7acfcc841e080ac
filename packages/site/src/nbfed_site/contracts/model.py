"""Named arrays: what a model is, outside any framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Arrays = Mapping[str, Array]
else:
    Array = Any
    Arrays = Mapping

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Name, shape and NumPy dtype (``"float32"``) of one array of the model."""

    name: str
    shape: tuple[int, ...]
    dtype: str
