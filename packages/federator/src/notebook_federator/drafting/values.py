"""What names of a slice stand for, as far as its text tells."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from glob import escape

_LONGEST = 4096
ANY, ANY_FOLDERS = "\0", "\1"
"""Stand for unknown text, and for any folders (``**``), inside a :class:`Text`."""


class Value:
    """Anything; by itself something unknown that does not come out of the site's data."""


@dataclass(frozen=True, slots=True)
class FromData(Value):
    """Something unknown that was read from the site's data."""


@dataclass(frozen=True, slots=True)
class Constant(Value):
    """A number, truth value or None."""

    value: object


@dataclass(frozen=True, slots=True)
class Text(Value):
    """Text or a path, unknown parts as :data:`ANY`; ``below``: it starts at the site's data folder."""

    text: str
    below: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of it is known."""
        return not self.below and ANY not in self.text and ANY_FOLDERS not in self.text

    def plus(self, other: Text) -> Value:
        """This text with ``other`` at its end."""
        if (
            len(self.text) > _LONGEST
            or other.below
            or (self.below and not self.text and other.text[:1] not in ("/", ANY))
        ):
            return UNKNOWN
        return Text((self.text + other.text).replace(ANY * 2, ANY), self.below)

    def joined(self, other: Text) -> Text:
        """``other`` as a path inside this one, as ``os.path.join`` does it."""
        if other.below or other.text.startswith("/"):
            return other
        if len(self.text) > _LONGEST:
            return self
        slash = "/" if self.text and not self.text.endswith("/") else ""
        return Text(self.text + slash + other.text, self.below)

    def pattern(self) -> str:
        """What matches this path below the data folder; empty where it is that folder, or leads out of it."""
        parts = [part for part in self.text.replace("\\", "/").split("/") if part not in ("", ".")]
        if ".." in parts or not self.below:
            return ""
        return "/".join("**" if part == ANY_FOLDERS else _escaped(part) for part in parts)


def _escaped(part: str) -> str:
    """A part of a path as a pattern."""
    return "".join("*" if sign in (ANY, ANY_FOLDERS) else escape(sign) for sign in part)


@dataclass(slots=True, eq=False)
class Items(Value):
    """A list, tuple or set of known length."""

    items: list[Value]


@dataclass(slots=True, eq=False)
class Named(Value):
    """A dictionary with known keys."""

    items: dict[str | int, Value]


@dataclass(frozen=True, slots=True)
class Many(Value):
    """A sequence of unknown length, all alike."""

    item: Value


@dataclass(slots=True, eq=False)
class Table(Value):
    """A table read from ``pattern``: columns that the code takes from it, and those that it adds itself.

    Not ``named``: the file has no header, or the code gives other names.
    """

    pattern: str
    named: bool
    columns: dict[str, None] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Row(Value):
    """One row of a table."""

    table: Table


@dataclass(frozen=True, slots=True)
class Located(Value):
    """``table.loc``: rows first, then columns."""

    table: Table


@dataclass(frozen=True, slots=True)
class OpenFile(Value):
    """A file of the site's that is open for reading."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Outside(Value):
    """Something of a library, by its dotted name."""

    name: str


@dataclass(slots=True, eq=False)
class Scope(Value):
    """Names of a module, function or class; those that it has not are looked up in ``outer``."""

    names: dict[str, Value]
    outer: Scope | None = None
    own: bool = True  # whether its lines are those of the slice, not of a helper module

    def find(self, name: str) -> Value:
        """What ``name`` stands for."""
        if name in self.names:
            return self.names[name]
        return self.outer.find(name) if self.outer else UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class Function(Value):
    """A function or lambda, with the object that it is a method of."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    owner: Value | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Class(Value):
    """A class of the notebook's own."""

    name: str
    scope: Scope
    bases: tuple[Value, ...]

    def find(self, name: str) -> Value | None:
        """An attribute of the class or of its bases; None where none of them has it."""
        if name in self.scope.names:
            return self.scope.names[name]
        found = (base.find(name) for base in self.bases if isinstance(base, Class))
        return next((value for value in found if value is not None), None)


@dataclass(slots=True, eq=False)
class Thing(Value):
    """An instance of one of the notebook's own classes."""

    kind: Class
    names: dict[str, Value] = field(default_factory=dict)


UNKNOWN = Value()
DATA = FromData()


def elements(value: Value) -> list[Value] | None:
    """The elements of something that can be iterated; None where there are not known ones."""
    match value:
        case Items(items):
            return list(items)
        case Named(items):
            return [Text(key) if isinstance(key, str) else Constant(key) for key in items]
    return None


def element(value: Value) -> Value:
    """Any one element of something that can be iterated."""
    match value:
        case Many(item):
            return item
        case Items() | Named():
            return joined(elements(value) or [UNKNOWN])
        case Table() | Row() | OpenFile() | FromData():
            return DATA
    return UNKNOWN


def joined(values: list[Value]) -> Value:
    """What is one of ``values``: the value, where they are all the same."""
    if all(value == values[0] for value in values):
        return values[0]
    return DATA if any(from_data(value) for value in values) else UNKNOWN


def from_data(value: Value) -> bool:
    """Whether a value was read from the site's data, the names of files included."""
    match value:
        case Text(text):
            return ANY in text or ANY_FOLDERS in text
        case Many(item):
            return from_data(item)
    return isinstance(value, FromData | Table | Row | Located | OpenFile)


def strings(value: Value | None) -> list[str]:
    """The known texts that ``value`` is or holds."""
    found: Iterator[Value] = iter(elements(value) or [value] if value is not None else [])
    return [item.text for item in found if isinstance(item, Text) and item.whole]


Arguments = tuple[list[Value], Mapping[str, Value]]
"""Positional and keyword arguments of a call."""
