"""Texts and paths put together out of parts, as far as these are known."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .values import ANY, ANY_FOLDERS, UNKNOWN, Constant, Many, Text, Value

BRACES = re.compile(r"\{[^{}]*\}")
PERCENT = re.compile(r"%[-+# 0-9.]*[sdifgrx]")
_WILD = re.compile(r"\*\*|\*|\?|\[[^\]]+\]")


def as_text(value: Value) -> Text:
    """What ``value`` shows inside a text."""
    if isinstance(value, Text):
        return value
    return Text(str(value.value)) if isinstance(value, Constant) else Text(ANY)


def concatenated(parts: Sequence[Text]) -> Value:
    """All ``parts``, one after the other."""
    whole: Value = Text("")
    for part in parts:
        if isinstance(whole, Text):
            whole = part if whole == Text("") else whole.plus(part)
    return whole


def filled(text: str, holes: re.Pattern[str], values: Sequence[Value]) -> Value:
    """``text`` with ``values`` in its ``holes``, in order."""
    pieces = holes.split(text)
    given = [as_text(value) for value in values] + [Text(ANY)] * len(pieces)
    parts = [Text(pieces[0])] if pieces[0] else []
    for value, piece in zip(given, pieces[1:], strict=False):
        parts += [value, Text(piece)] if piece else [value]
    return concatenated(parts)


def matched(pattern: Text) -> Text:
    """A path that a glob ``pattern`` stands for."""
    signs = {"**": ANY_FOLDERS}
    return Text(_WILD.sub(lambda found: signs.get(found[0], ANY), pattern.text), pattern.below)


def inside(folder: Value, name: str) -> Many:
    """The paths in a folder that match ``name``."""
    return Many(folder.joined(matched(Text(name))) if isinstance(folder, Text) else UNKNOWN)


def path_part(path: Text, attribute: str) -> Value:
    """``path.parent``, ``path.name`` and the like."""
    folder, _, name = path.text.rpartition("/")
    match attribute:
        case "parent":
            return Text(folder, path.below) if name else UNKNOWN
        case "name":
            return Text(name)
        case "stem":
            return Text(name.rpartition(".")[0] or name)
        case "path":
            return path
    return UNKNOWN
