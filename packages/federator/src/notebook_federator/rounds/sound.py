"""Whether what came from a site is what its type says: a site that was tampered with sends anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nbfed_site.contracts import BadInput

_MOST = 1 << 53  # whole numbers that JSON and float64 keep exactly


def require_sound(value: Any) -> None:
    """Check the fields of a dataclass, at any depth, against their annotations.

    Whole numbers must also be counts (0 to 2**53), other numbers finite, and texts UTF-8: all of it is
    computed with and written to the ledger.

    Raises:
        BadInput: names the first field that does not fit.
    """
    for name, hint in _hints(value.__class__).items():
        if not _fits(getattr(value, name), hint):
            raise BadInput(f"its field {name!r} is not what it should be.")


def _hints(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(kind)}


def _fits(value: Any, hint: Any) -> bool:
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if kind is tuple:
        return type(value) is tuple and _items_fit(value, inner)
    if kind is Mapping:  # arrays, which say nothing of their items, are judged later: they may lie on disk
        items = value.items() if isinstance(value, Mapping) and inner else ()
        return isinstance(value, Mapping) and all(_items_fit(pair, inner) for pair in items)
    if is_dataclass(kind):
        hints = _hints(kind).items()
        return type(value) is kind and all(_fits(getattr(value, name), one) for name, one in hints)
    return type(value) is str and value in inner if kind is Literal else _is_plain(value, kind)


def _items_fit(values: tuple[Any, ...], hints: tuple[Any, ...]) -> bool:
    wanted = hints[:1] * len(values) if hints[-1] is ... else hints
    return len(values) == len(wanted) and all(map(_fits, values, wanted))


def _is_plain(value: Any, kind: Any) -> bool:
    if kind is int:
        return type(value) is int and 0 <= value <= _MOST
    if kind is float:
        return type(value) in (int, float) and abs(value) < math.inf
    if kind is str:
        return type(value) is str and _is_encodable(value)
    return type(value) is kind


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
