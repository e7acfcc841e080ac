"""HTML and SVG elements as strings; what is not an element is escaped, without exception."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"meta", "link", "br", "hr"})


class Element(str):
    """Markup made by :func:`tag`; any other string is text and gets escaped."""

    __slots__ = ()


Child = str | Iterable["Child"] | None
Attribute = str | int | float | None


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Element:
    """One element. ``class_`` gives ``class``, ``stroke_width`` gives ``stroke-width``; None is left out."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Element(f"<{name}{shown}>")
    return Element(f"<{name}{shown}>{join(*children)}</{name}>")


def join(*children: Child) -> Element:
    """Elements and texts one after the other."""
    return Element("".join(_text(child) for child in children))


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Element):
        return str(child)
    if isinstance(child, str):
        return escape(child)
    return "".join(_text(item) for item in child)


def _plain(value: str | int | float) -> str:
    """Coordinates with at most two decimals, so that the same record gives the same bytes everywhere."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
