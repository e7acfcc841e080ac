"""Writes role marks into a notebook file and leaves everything else as it was."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbfed_site.contracts import BadInput

from .document import Role
from .reading import directive_of, load_json


def write_marks(path: Path, marks: Mapping[int, Role]) -> None:
    """Give each cell number in ``marks`` the first line ``#| federate: ROLE``, replacing an old one.

    Outputs, metadata, key order, indentation and the final line end of the file stay.

    Raises:
        NotebookUnreadable: as :func:`notebook_federator.notebook.read`.
        BadInput: a number names no code cell.
    """
    document = load_json(path)
    text = path.read_text(encoding="utf-8")
    cells = _cells(document)
    for number, role in marks.items():
        if not 1 <= number <= len(cells) or cells[number - 1].get("cell_type") != "code":
            raise BadInput(f"Cell {number} is not a code cell.", where=str(path))
        _mark(cells[number - 1], role)
    indent = re.match(r"\{\r?\n([ \t]+)", text)
    ascii_only = text.isascii() and "\\u" in text
    result = json.dumps(document, indent=indent and indent[1], ensure_ascii=ascii_only)
    end = text[len(text.rstrip("\n")) :]
    beside = path.with_name(path.name + ".part")
    beside.write_text(result + end, encoding="utf-8")
    os.replace(beside, path)


def _cells(document: dict[str, Any]) -> list[dict[str, Any]]:
    if "worksheets" in document:
        return [cell for sheet in document["worksheets"] for cell in sheet.get("cells", [])]
    return list(document["cells"])


def _mark(cell: dict[str, Any], role: Role) -> None:
    key = "input" if "input" in cell else "source"
    raw = cell.get(key, "")
    lines = "".join(raw).split("\n") if isinstance(raw, list) else raw.split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if directive_of(lines[first], ()) is not None:
        lines[first] = f"#| federate: {role}"
    else:
        lines.insert(0, f"#| federate: {role}")
    if lines[-1] == "" and len(lines) == 2:
        lines.pop()
    text = "\n".join(lines)
    cell[key] = text.splitlines(keepends=True) if isinstance(raw, list) else text
