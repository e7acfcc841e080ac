"""Reads a notebook file of any nbformat version into a :class:`Notebook`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nbfed_site.contracts import NotebookUnreadable, json_digest

from .document import Cell, CellKind, Notebook
from .magics import neutralise

_DIRECTIVE = re.compile(r"^\s*#\s*\|\s*federate\s*:\s*(?P<role>[\w-]*)\s*$", re.IGNORECASE)
_TAG = re.compile(r"^federate\s*:\s*(?P<role>[\w-]+)$", re.IGNORECASE)
_KINDS: dict[str, CellKind] = {"code": "code", "heading": "markdown", "markdown": "markdown", "raw": "raw"}


def read(path: Path) -> Notebook:
    """Read the notebook at ``path``; outputs are dropped before anything looks at them.

    Raises:
        NotebookUnreadable: no such file, not JSON, not a notebook, or its kernel is not Python.
    """
    document = _upgraded(load_json(path), path)
    language = _language(document)
    if language != "python":
        raise NotebookUnreadable(
            f"The notebook's kernel speaks {language}, and only Python notebooks can be federated.",
            where=str(path),
            hint="Choose a Python kernel in JupyterLab (Kernel > Change Kernel) and save the notebook.",
        )
    cells = tuple(_cell(number, cell) for number, cell in enumerate(document["cells"], start=1))
    return Notebook(path.name, path.parent, _digest(cells), cells, language)


def load_json(path: Path) -> dict[str, Any]:
    """The notebook's JSON value.

    Raises:
        NotebookUnreadable: no such file, or not a JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise NotebookUnreadable(
            f"The notebook cannot be opened: {error.strerror or error}.",
            where=str(path),
            hint="Check the path; notebooks end in .ipynb.",
        ) from error
    except json.JSONDecodeError as error:
        raise NotebookUnreadable(
            f"The file is not valid JSON: {error.msg}.",
            where=f"{path}, line {error.lineno}, column {error.colno}",
            hint="The file may be cut off or hold merge marks; open it in JupyterLab and save it again.",
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise NotebookUnreadable(
            "The file is not text in UTF-8, as notebooks are.",
            where=str(path),
            hint="Open it in JupyterLab and save it again.",
        ) from error
    if not isinstance(value, dict) or not ("cells" in value or "worksheets" in value):
        raise _not_a_notebook(path, "It is JSON, but has no cells.")
    return value


def directive_of(source: str, tags: tuple[str, ...]) -> str | None:
    """The role that a first-line ``#| federate: ROLE`` or a ``federate:ROLE`` tag gives, lower case."""
    first = next((line for line in source.split("\n") if line.strip()), "")
    if match := _DIRECTIVE.match(first):
        return match["role"].lower()
    return next((match["role"].lower() for tag in tags if (match := _TAG.match(tag))), None)


def _not_a_notebook(path: Path, why: str) -> NotebookUnreadable:
    return NotebookUnreadable(
        f"The file is not a Jupyter notebook. {why}",
        where=str(path),
        hint="Give the path of an .ipynb file saved by JupyterLab.",
    )


def _upgraded(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """The document in nbformat 4, without outputs; older versions go through nbformat."""
    sheets = document.get("worksheets")
    holders = [document, *(sheets if isinstance(sheets, list) else [])]
    for holder in holders:
        for cell in holder.get("cells", []) if isinstance(holder, dict) else []:
            if isinstance(cell, dict):
                _trim(cell)
    if document.get("nbformat", 4) < 4 or "worksheets" in document:
        document = _converted(document, path)
    cells = document.get("cells")
    if not isinstance(cells, list) or not all(_looks_like_cell(cell) for cell in cells):
        raise _not_a_notebook(path, "Its cells are not what nbformat describes.")
    return document


def _trim(cell: dict[str, Any]) -> None:
    """Drop the outputs, and join sources kept as lists of lines."""
    if "outputs" in cell:
        cell["outputs"] = []
    for key in ("source", "input"):
        if isinstance(cell.get(key), list):
            cell[key] = "".join(map(str, cell[key]))


def _converted(document: dict[str, Any], path: Path) -> dict[str, Any]:
    import nbformat

    try:
        node = nbformat.from_dict(document)  # type: ignore[no-untyped-call]
        return dict(nbformat.convert(node, 4))  # type: ignore[no-untyped-call]
    except Exception as error:
        raise _not_a_notebook(path, f"nbformat cannot upgrade it ({type(error).__name__}).") from error


def _looks_like_cell(cell: object) -> bool:
    return (
        isinstance(cell, dict)
        and isinstance(cell.get("cell_type"), str)
        and isinstance(cell.get("source", ""), str)
        and isinstance(cell.get("metadata", {}), dict)
    )


def _language(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return "python"
    info, spec = metadata.get("language_info") or {}, metadata.get("kernelspec") or {}
    name = info.get("name") or spec.get("language") or "python"
    return re.sub(r"^(i?python)\d*$", "python", str(name).lower())


def _cell(number: int, cell: dict[str, Any]) -> Cell:
    source: str = cell.get("source", "").replace("\r\n", "\n").replace("\r", "\n").replace("\f", " ")
    kind = _KINDS.get(cell["cell_type"], "raw")
    tags = tuple(str(tag) for tag in cell.get("metadata", {}).get("tags", []))
    if kind != "code":
        return Cell(number, kind, source, "", tags)
    python, magics = neutralise(source)
    return Cell(number, kind, source, python, tags, directive_of(source, tags), magics)


def _digest(cells: tuple[Cell, ...]) -> str:
    return json_digest({"cells": [[cell.kind, cell.source, list(cell.tags)] for cell in cells]})
