"""Where a round starts from: the same random streams and the same namespace every time."""

from __future__ import annotations

import copy
import random
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from .split import is_dataloader

_CODE = (ModuleType, FunctionType, BuiltinFunctionType, type)
_PLAIN = (bool, int, float, str, type(None))


def seed_all(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global random streams with a 32-bit ``seed``."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


class Snapshot:
    """What the notebook's namespace held before the first round.

    Restored: what each name is bound to; lists, sets and dicts of plain values; the same for
    attributes of objects of the notebook's own classes (early stopping, say); optimizers, schedulers
    and all else with a ``state_dict``. The model's arrays are not part of it.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        own = [value for value in namespace.values() if _is_own(value)]
        scopes: list[dict[str, Any]] = [namespace, *(value.__dict__ for value in own)]
        self._scopes = [(scope, dict(scope)) for scope in scopes]
        values = [
            value for _, names in self._scopes for value in names.values() if not isinstance(value, _CODE)
        ]
        self._plain = [(value, copy.copy(value)) for value in values if _is_plain_container(value)]
        stateful = {id(v): v for v in values if hasattr(v, "load_state_dict") and not hasattr(v, "forward")}
        self._states = [(value, copy.deepcopy(value.state_dict())) for value in stateful.values()]
        self._loaders = [value for value in values if is_dataloader(value)]
        self._streams = [stream for value in values for stream in _streams(value)]

    def restore(self, seed: int) -> None:
        """Set everything back, and all random streams to ``seed``."""
        for scope, names in self._scopes:
            scope.clear()
            scope.update(names)
        for value, content in self._plain:
            value.clear()
            value.extend(content) if isinstance(value, list) else value.update(content)
        for value, state in self._states:
            value.load_state_dict(copy.deepcopy(state))
        for loader in self._loaders:
            loader._iterator = None  # persistent workers would carry their random streams over
        for stream in self._streams:
            _seed_stream(stream, seed)
        seed_all(seed)


def _is_own(value: Any) -> bool:
    kind = type(value)
    own = kind.__module__ == "__main__" and hasattr(value, "__dict__")
    return own and not hasattr(kind, "__getitem__") and not hasattr(kind, "forward")


def _is_plain_container(value: Any) -> bool:
    if type(value) not in (list, set, dict):
        return False
    items = value.values() if isinstance(value, dict) else value
    return all(isinstance(item, _PLAIN) for item in items)


def _streams(value: Any) -> list[Any]:
    """Random generators that ``value`` is, or that it draws with if it is a loader."""
    inner = (
        value,
        getattr(value, "generator", None),
        getattr(getattr(value, "sampler", None), "generator", None),
    )
    kinds = ("torch._C.Generator", "numpy.random._generator.Generator", "numpy.random.mtrand.RandomState")
    return [item for item in inner if _kind(item) in kinds or type(item) is random.Random]


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _seed_stream(stream: Any, seed: int) -> None:
    if hasattr(stream, "manual_seed"):
        stream.manual_seed(seed)
    elif hasattr(stream, "bit_generator"):
        stream.bit_generator.state = type(stream.bit_generator)(seed).state
    else:
        stream.seed(seed)
