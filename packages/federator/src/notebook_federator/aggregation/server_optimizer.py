"""What FedAvgM, FedAdam and FedYogi share: moments of the mean's change, kept on disk."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nbfed_site.contracts import Array, Arrays, RunUnreadable, Scalar
from numpy.typing import NDArray

from .mean import Mean, RunningMean
from .shelf import Shelf

Floats = NDArray[Any]


class ServerOptimizer:
    """Treats ``mean of updates - current model`` as a step and lets an optimizer take it.

    Moments have the model's dtype, at least float32, and live in a :class:`Shelf`, so that memory
    stays that of FedAvg. Arrays of integers and booleans have no moments: they get the weighted
    mean. ``current`` is kept until :meth:`finish`, which reads each of its arrays once more.
    :meth:`state` reads lazily from the live shelf: store it before the next round ends.
    """

    name = ""
    moments: tuple[str, ...] = ()

    def __init__(self, folder: Path | None = None) -> None:
        self._mean = RunningMean()
        self._shelf = Shelf(folder)
        self._current: Arrays = {}
        self._rounds = 0

    def begin(self, current: Arrays) -> None:
        self._mean.begin(current)
        self._current = current
        for name, (shape, dtype) in self._mean.layout.items():
            if dtype.kind in "fc":
                self._keep_moments(name, shape, np.result_type(dtype, np.float32))

    def _keep_moments(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        for key in (f"{moment}/{name}" for moment in self.moments):
            if key not in self._shelf:
                self._shelf.reserve(key, shape, dtype)
            elif (self._shelf.shape(key), self._shelf.dtype(key)) != (shape, dtype):
                raise RunUnreadable(f"The stored {key!r} of strategy {self.name} does not fit the model.")

    def add(self, arrays: Arrays, weight: float) -> None:
        self._mean.add(arrays, weight)

    def finish(self) -> dict[str, Array]:
        result = self._mean.finish(_Stepper(self, self._current, self._shelf))
        self._rounds += 1
        self._current = {}
        return result

    def step(self, delta: Floats, moments: list[Floats]) -> Floats:
        """What to add to the current model; changes ``moments`` in place (all 1-D, one piece)."""
        raise NotImplementedError

    def state(self) -> Arrays:
        if not self._rounds:
            return {}
        return ChainMap({"rounds": np.array([self._rounds])}, self._shelf)  # type: ignore[arg-type]

    def restore(self, state: Arrays) -> None:
        """Take back what :meth:`state` gave, bit for bit.

        Raises:
            RunUnreadable: not the state of this strategy.
        """
        self._shelf.clear()
        self._rounds = 0
        if not state:
            return
        if "rounds" not in state or any(key.split("/")[0] not in ("rounds", *self.moments) for key in state):
            raise RunUnreadable(f"The stored state is not one of strategy {self.name}.")
        self._rounds = int(np.asarray(state["rounds"]).item())
        for key in state:
            if key != "rounds":
                array = state[key]
                self._shelf.reserve(key, array.shape, array.dtype)
                self._shelf.write(key, 0, array.reshape(-1))

    def task_config(self) -> Mapping[str, Scalar]:
        return {}


class _Stepper:
    """Changes pieces of the mean into pieces of the new model; reads each current array once."""

    def __init__(self, owner: ServerOptimizer, current: Arrays, shelf: Shelf) -> None:
        self._owner, self._arrays, self._shelf = owner, current, shelf
        self._name = ""
        self._current: Floats = np.empty(0)

    def __call__(self, name: str, piece: slice, values: Mean) -> None:
        if name != self._name:
            self._current = np.empty(0)
            self._name, self._current = name, self._arrays[name].reshape(-1)
        current = self._current[piece].astype(values.dtype)
        values -= current
        keys = [f"{moment}/{name}" for moment in self._owner.moments]
        moments = [self._moment(key, piece, values.dtype) for key in keys]
        step = self._owner.step(values, moments)
        for key, moment in zip(keys, moments, strict=True):
            self._shelf.write(key, piece.start, moment)
        np.add(current, step, out=values)

    def _moment(self, key: str, piece: slice, dtype: np.dtype[Any]) -> Floats:
        stored: Floats = np.empty(piece.stop - piece.start, self._shelf.dtype(key))
        self._shelf.read(key, piece.start, stored)
        return stored.astype(dtype)
