"""Frozen shapes as plain JSON values, and back: whatever was tampered with is found by its type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_MOST = 1 << 53  # whole numbers that JSON and float64 keep exactly
_KindT = TypeVar("_KindT")


def plain(value: Any) -> Any:
    """Shapes and mappings as dictionaries, tuples as lists, all else as it is."""
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def rebuilt(kind: type[_KindT], value: Any) -> _KindT:
    """The ``kind`` that :func:`plain` gave ``value`` of; fields with a default may be missing.

    Whole numbers are counts (0 to 2**53) unless a field takes other numbers too, numbers are finite, and
    texts can be written as UTF-8.

    Raises:
        TypeError: it is of no such kind; names the field.
        ValueError: the kind itself does not take it.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"no {kind.__name__}")
    shape: Any = kind
    hints = _hints(shape)
    if unknown := sorted(map(str, value.keys() - hints.keys())):
        raise TypeError(f"no field {unknown[0]!r} is known")
    parts = {}
    for name, part in value.items():
        try:
            parts[name] = _part(hints[name], part)
        except TypeError as error:
            raise TypeError(f"field {name!r} is not what it should be") from error
    return kind(**parts)


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(kind)}


def _part(hint: Any, value: Any) -> Any:
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return _first(inner, value)
    if kind is tuple and isinstance(value, list | tuple):
        wanted = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(wanted) == len(value):
            return tuple(map(_part, wanted, value))
    elif kind is Mapping and isinstance(value, Mapping):
        return {_part(inner[0], name): _part(inner[1], part) for name, part in value.items()}
    elif is_dataclass(kind):
        return rebuilt(hint, value)
    elif kind is Literal:
        if any(type(value) is type(one) and value == one for one in inner):
            return value
    elif _is_plain(kind, value):
        return value
    raise TypeError(f"no {hint}")


def _first(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        with suppress(TypeError):
            return _part(kind, value)
    raise TypeError("none of the kinds that it may be of")


def _is_plain(kind: Any, value: Any) -> bool:
    if kind is int:
        return type(value) is int and 0 <= value <= _MOST
    if kind is float:
        return type(value) in (int, float) and abs(value) < math.inf
    if type(value) is str and any("\ud800" <= sign <= "\udfff" for sign in value):
        return False  # no UTF-8
    return kind is Any or type(value) is kind
