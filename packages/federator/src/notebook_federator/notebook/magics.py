"""IPython magics and shell lines, made inert without moving any other line."""

from __future__ import annotations

import ast
import re
import warnings

from .document import Magic

_LINE = re.compile(
    r"^(?P<indent>\s*)(?P<text>(?:[!%]|\?{1,2}\w|(?:pip3?|conda|mamba) +install\b).*|[\w.\[\]]+\?{1,2}\s*)$"
)
_ASSIGNED = re.compile(r"^(?P<indent>\s*)(?P<target>[A-Za-z_][\w, ]*?)\s*=\s*(?P<text>[!%].*)$")
_CELL = re.compile(r"^\s*%%(\w+)")
_PYTHON_CELLS = {"time", "timeit", "capture", "prun", "memit", "mprun", "heat", "snakeviz"}


def neutralise(source: str) -> tuple[str, tuple[Magic, ...]]:
    """Turn ``source`` into plain Python of the same lines, and say which lines were magics.

    A magic becomes ``pass``, an assigned one (``files = !ls``) assigns an empty list; a cell magic of
    another language (``%%bash``) empties the cell. Text inside strings is left alone.
    """
    lines = source.split("\n")
    first = next(
        (i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None
    )
    if first is not None and (match := _CELL.match(lines[first])):
        if match[1] not in _PYTHON_CELLS:
            return "\n".join("" for _ in lines), (
                Magic(first + 1, source[len("\n".join(lines[:first])) :].strip()),
            )
        rest, magics = neutralise("\n".join(["" for _ in lines[: first + 1]] + lines[first + 1 :]))
        return rest, (Magic(first + 1, lines[first].strip()), *magics)
    if not any(_LINE.match(line) or _ASSIGNED.match(line) for line in lines) or _parses(source):
        return source, ()
    return _replace(lines)


def _parses(source: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(source)
        except (SyntaxError, ValueError):
            return False
    return True


def _replace(lines: list[str]) -> tuple[str, tuple[Magic, ...]]:
    result: list[str] = []
    magics: list[Magic] = []
    quote = ""
    index = 0
    while index < len(lines):
        line = lines[index]
        found = None if quote else (_ASSIGNED.match(line) or _LINE.match(line))
        if found is None or _continues(result):
            quote = _open_quote(line, quote)
            result.append(line)
            index += 1
            continue
        text, used = _joined(lines, index, found["text"])
        magics.append(Magic(index + 1, text))
        target = found.groupdict().get("target")
        result.append(found["indent"] + (f"{target} = []" if target else "pass"))
        result.extend("" for _ in range(used - 1))
        index += used
    return "\n".join(result), tuple(magics)


def _joined(lines: list[str], index: int, text: str) -> tuple[str, int]:
    """A magic with its backslash continuation lines joined, and how many lines it takes."""
    used = 1
    while text.endswith("\\") and index + used < len(lines):
        text = text[:-1].rstrip() + " " + lines[index + used].strip()
        used += 1
    return text.rstrip("\\").strip(), used


def _continues(before: list[str]) -> bool:
    """Whether the next line continues an expression (``x = (a`` then ``% b)``)."""
    previous = next((line for line in reversed(before) if line.strip()), "")
    code = previous.split("#")[0].rstrip()
    if code.endswith("\\"):
        return True
    text = "\n".join(before)
    stripped = re.sub(r"(?s)('''|\"\"\").*?\1|#[^\n]*|'[^'\n]*'|\"[^\"\n]*\"", "", text)
    return sum(stripped.count(c) for c in "([{") > sum(stripped.count(c) for c in ")]}")


def _open_quote(line: str, quote: str) -> str:
    """The triple quote still open after ``line``, or empty."""
    position = 0
    while position < len(line):
        if quote:
            end = line.find(quote, position)
            if end < 0:
                return quote
            quote, position = "", end + 3
            continue
        match = re.compile(r"#|'''|\"\"\"|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"").search(line, position)
        if match is None or match[0] == "#":
            return ""
        if match[0] in ("'''", '"""'):
            quote = match[0]
        position = match.end()
    return quote
