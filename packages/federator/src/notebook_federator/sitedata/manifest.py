"""Reading a manifest of patches: which file shows what, of whom, and from where."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nbfed_site.contracts import BadInput

SetName = Literal["train", "val", "test"]
SETS: tuple[SetName, ...] = ("train", "val", "test")
_SET_WORDS: Mapping[str, SetName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_NEEDED = ("file", "label")


@dataclass(frozen=True, slots=True)
class Patch:
    """One line of a manifest; empty text and None stand for what it does not say.

    Attributes:
        file: path relative to the folder (or inside the tar archive) of the images.
        rank: position in a random order of its institution, set and class.
    """

    file: str
    label: str
    patient: str = ""
    institution: str = ""
    set: SetName | None = None
    rank: float | None = None


def read_manifest(path: Path) -> tuple[Patch, ...]:
    """Read the CSV file ``path`` with columns ``file, label`` and, where known, ``patient,
    institution, split, rank``; other columns are left aside.

    Raises:
        BadInput: no such file, not CSV text, a column or value is missing or has no meaning, no
            patches, or a file stands in it twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            _check_columns(columns, path)
            reader.fieldnames = columns
            patches = tuple(_patch(row, f"{path}, line {reader.line_num}") for row in reader)
    except FileNotFoundError:
        raise BadInput("There is no such manifest.", where=str(path), hint="Check the path.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"The manifest cannot be read as CSV: {error}.", where=str(path)) from error
    _check_files(patches, path)
    return patches


def _check_columns(columns: list[str], path: Path) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise BadInput(
            f"The manifest has no column {' and no column '.join(repr(name) for name in missing)}.",
            where=f"{path}, line 1: {', '.join(columns) or 'nothing'}",
            hint="Name the columns in the first line: file,label and, where known, "
            "patient,institution,split,rank.",
        )


def _patch(row: Mapping[str | None, str | None], where: str) -> Patch:
    values = {name: (row.get(name) or "").strip() for name in (*_NEEDED, "patient", "institution")}
    for name in _NEEDED:
        if not values[name]:
            raise BadInput(f"A line of the manifest has no {name}.", where=where)
    return Patch(**values, set=_set_name(row.get("split"), where), rank=_rank(row.get("rank"), where))


def _set_name(word: str | None, where: str) -> SetName | None:
    word = (word or "").strip().lower()
    if word and word not in _SET_WORDS:
        raise BadInput(f"{word!r} is not a split.", where=where, hint=f"Use one of: {', '.join(_SET_WORDS)}.")
    return _SET_WORDS[word] if word else None


def _rank(text: str | None, where: str) -> float | None:
    try:
        return float(text) if text and text.strip() else None
    except ValueError:
        raise BadInput(f"The rank {text!r} is not a number.", where=where) from None


def _check_files(patches: tuple[Patch, ...], path: Path) -> None:
    if not patches:
        raise BadInput("The manifest lists no patches.", where=str(path))
    seen: set[str] = set()
    for patch in patches:
        if patch.file in seen:
            raise BadInput(
                "A file stands in the manifest twice.",
                where=f"{path}: {patch.file}",
                hint="Keep one line per file; otherwise it could reach two sites.",
            )
        seen.add(patch.file)
