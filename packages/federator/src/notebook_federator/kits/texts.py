"""Templates: plain text with ``@name@`` where a value goes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib.resources import files


def template(name: str) -> str:
    """A template of this room, by its file name."""
    return (files(__package__) / "templates" / name).read_text("utf-8")


def filled(text: str, **values: object) -> bytes:
    """The template with its values. Raises: KeyError, of one that is missing."""
    return re.sub(r"@(\w+)@", lambda found: str(values[found[1]]), text).encode()


def quoted(value: str) -> str:
    """A YAML double-quoted scalar in which Compose interpolates nothing."""
    return json.dumps(value.replace("$", "$$"), ensure_ascii=False)


def listed(values: Iterable[str]) -> str:
    """A YAML flow sequence of such scalars."""
    return "[" + ", ".join(map(quoted, values)) + "]"
