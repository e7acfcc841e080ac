"""A table of a TOML file, read key by key: every error names the key and its line."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from nbfed_site.contracts import FederationUnreadable

T = TypeVar("T")
_KINDS: Mapping[type, str] = {
    str: "text in quotation marks",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list in square brackets",
    dict: "a table",
}


@dataclass(slots=True)
class Table:
    """One table; keys that nobody took are refused by :meth:`end`.

    Attributes:
        path, text: the file. name: of the table, empty for the file's top.
    """

    path: Path
    text: str
    name: str
    values: Mapping[str, Any]
    taken: set[str] = field(default_factory=set)

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        """The value of a key, which has to be of this kind; ``default`` where the key is absent.

        Raises:
            FederationUnreadable: another kind, or absent without a default.
        """
        found = self.optional(key, kind)
        if found is not None:
            return found
        if default is None:
            self.refuse(key, "is missing", f"Add {key} = ... ({_KINDS[kind]}).")
        return default

    def optional(self, key: str, kind: type[T]) -> T | None:
        """The value of a key; None where it is absent.

        Raises:
            FederationUnreadable: it is of another kind.
        """
        self.taken.add(key)
        if key not in self.values:
            return None
        found = self.values[key]
        if kind is float and type(found) is int:
            found = float(found)
        if type(found) is not kind:
            self.refuse(key, f"is {found!r}", f"Write {_KINDS[kind]}.")
        return found

    def checked(self, key: str, check: Callable[[Any], T], hint: str, default: Any = None) -> T:
        """What ``check`` makes of a key's value, or of ``default``; it raises where that has no meaning.

        Raises:
            FederationUnreadable: ``check`` raised ValueError or TypeError, or there is neither.
        """
        self.taken.add(key)
        found = self.values.get(key, default)
        if found is None:
            self.refuse(key, "is missing", hint)
        try:
            return check(found)
        except (ValueError, TypeError, AttributeError, KeyError):
            self.refuse(key, f"is {found!r}", hint)

    def table(self, key: str) -> Table:
        """A table below this one; an empty one where it is absent."""
        name = f"{self.name}.{key}" if self.name else key
        return Table(self.path, self.text, name, self.take(key, dict, {}))

    def end(self) -> None:
        """Refuse keys that have no meaning.

        Raises:
            FederationUnreadable: names the first.
        """
        for key in self.values:
            if key not in self.taken:
                near = difflib.get_close_matches(key, self.taken, 1)
                known = ", ".join(sorted(self.taken))
                hint = f"Did you mean {near[0]}?" if near else f"Known here: {known}."
                self.refuse(key, "has no meaning", hint)

    def refuse(self, key: str, what: str, hint: str) -> NoReturn:
        """Raise the error about one key."""
        name = f"{self.name}.{key}" if self.name else key
        raise FederationUnreadable(f"{name} {what}.", where=self.place(name), hint=hint)

    def place(self, name: str) -> str:
        """The file, and the line where the key ``TABLE.KEY`` is set, or else its table begins."""
        table, _, key = name.rpartition(".")
        line = _line(self.text, table, key)
        return f"{self.path}, line {line}" if line else str(self.path)


def parse_table(text: str, path: Path) -> Table:
    """The whole of a TOML text; ``path`` is told in errors.

    Raises:
        FederationUnreadable: it is not TOML.
    """
    try:
        return Table(path, text, "", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        what = f"{path.name} is not valid TOML: {error}."
        raise FederationUnreadable(what, where=str(path), hint="Mend that line.") from error


def _line(text: str, table: str, key: str) -> int | None:
    """The 1-based line where a key of a table is set; that of its table's head where the key is absent."""
    inside, head = table == "", None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.fullmatch(r"\s*\[([^\[\]]+)\]\s*(#.*)?", line):
            name = header[1].strip()
            inside = name == table
            if inside or name == (f"{table}.{key}" if table else key):
                head = number
        elif inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return head
