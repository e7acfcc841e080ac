"""The data contract as the ``[data]`` table of ``federation.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from nbfed_site.contracts import DataContract, FederationUnreadable, plain
from nbfed_site.contracts.data import Split, stays_below

_KEYS = ("files", "columns", "labels", "image_size", "minimum", "minimum_per_class")


def contract_to_table(contract: DataContract) -> dict[str, Any]:
    """What to write into ``[data]``; expectations that there are not are left out."""
    return {key: value for key, value in plain(contract).items() if value}


def contract_from_table(table: Mapping[str, Any]) -> DataContract:
    """The contract that ``[data]`` states; a key that is not there asks for nothing.

    Raises:
        FederationUnreadable: a key is unknown, or its value is none of its kind; names the key.
    """
    if not isinstance(table, Mapping):
        raise _wrong("data", "is no table", "Write it as a table: [data]")
    for key in table.keys() - set(_KEYS):
        raise _wrong(f"data.{key}", "is not known", f"Its keys are: {', '.join(_KEYS)}.")
    size = table.get("image_size")
    return DataContract(
        files=tuple(_pattern("data.files", item) for item in _list("data.files", table.get("files", []))),
        columns={
            _pattern("data.columns", name): _names(f"data.columns.{name!r}", value)
            for name, value in _table("data.columns", table.get("columns", {})).items()
        },
        labels=_labels(table.get("labels", [])),
        image_size=None if size is None else _size(size),
        minimum={
            _split(name): _count(f"data.minimum.{name}", value)
            for name, value in _table("data.minimum", table.get("minimum", {})).items()
        },
        minimum_per_class=_count("data.minimum_per_class", table.get("minimum_per_class", 0)),
    )


def _wrong(key: str, problem: str, hint: str) -> FederationUnreadable:
    return FederationUnreadable(f"{key} {problem}.", where="federation.toml", hint=hint)


def _table(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(key, "is no table", f"Write it as a table: [{key}]")
    return value


def _list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(key, "is no list", 'Write a list, such as ["a", "b"].')
    return value


def _names(key: str, value: Any) -> tuple[str, ...]:
    found = _list(key, value)
    if not all(isinstance(name, str) and name for name in found):
        raise _wrong(key, "holds something that is no name", 'Write names in quotes, such as ["age", "sex"].')
    return tuple(found)


def _labels(value: Any) -> tuple[str, ...]:
    found = _list("data.labels", value)
    if not all(isinstance(label, str | int) and not isinstance(label, bool) for label in found):
        raise _wrong("data.labels", "holds something that is no label", 'Write them like ["0", "1"].')
    return tuple(map(str, found))


def _pattern(key: str, value: Any) -> str:
    if not isinstance(value, str) or not stays_below(value):
        hint = "Write it relative to the data folder, such as train/*/*.png; ** stands for any folders."
        raise _wrong(key, f"holds {value!r}, which is no pattern of files below the data folder", hint)
    return value


def _size(value: Any) -> tuple[int, int]:
    found = [_count("data.image_size", item) for item in _list("data.image_size", value)]
    if len(found) != 2 or 0 in found:
        raise _wrong("data.image_size", "is no width and height", "Write both in pixels, such as [50, 50].")
    return found[0], found[1]


def _split(name: str) -> str:
    if name not in get_args(Split):
        raise _wrong(f"data.minimum.{name}", "is not known", f"Splits are: {', '.join(get_args(Split))}.")
    return name


def _count(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong(key, f"is {value!r}, which is no count", "Write a whole number, 0 or more.")
    return value
