"""Whether a site's data is what the federation's data contract asks for.

The sentences may leave the site: they hold counts and names that the contract declares, never a file's
name, a value, or a label that is not declared.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from .contracts import DataContract, SiteCard
from .imagesize import SUFFIXES, image_size

_TABLES, _IMAGES = 1000, 2000  # files opened at most, spread evenly over all that match
_HEADER = 1 << 20  # characters


def misfits(contract: DataContract, folder: Path | None) -> list[str]:
    """How the files below ``folder`` miss ``contract``; empty where they fit.

    Opens tables and images only, and reads no more of them than their headers.
    """
    if folder is not None and os.path.isdir(folder):
        return [*_files(contract, folder), *_columns(contract, folder), *_sizes(contract, folder)]
    asked = contract.files or contract.columns or contract.image_size
    return ["There is no data folder."] if asked else []


def card_misfits(contract: DataContract, card: SiteCard) -> tuple[str, ...]:
    """How the samples that the notebook found miss ``contract``."""
    few = (
        f"{split}: {card.samples.get(split, 0):,} samples, at least {fewest:,} needed."
        for split, fewest in contract.minimum.items()
        if card.samples.get(split, 0) < fewest
    )
    strange = (
        f"{split}: {number:,} of {sum(counts.values()):,} samples have a label that is not declared."
        for split, counts in card.classes.items()
        if contract.labels
        and (number := sum(counts[label] for label in counts.keys() - set(contract.labels)))
    )
    return (*few, *strange, *_classes(contract, card))


def _classes(contract: DataContract, card: SiteCard) -> Iterator[str]:
    counts, fewest = card.classes.get("train"), contract.minimum_per_class
    if counts is None:
        if number := len(contract.labels):
            yield f"train: samples cannot be counted by class, and {number:,} classes are declared."
        return
    for label in contract.labels:
        if counts.get(label, 0) < fewest:
            yield f"train, class {label}: {counts.get(label, 0):,} samples, at least {fewest:,} needed."
    if not contract.labels and fewest:
        if len(counts) == 1:
            yield "train: all samples are of one class."
        if small := sum(count < fewest for count in counts.values()):
            yield f"train: {small:,} of {len(counts):,} classes have fewer than {fewest:,} samples."


def _files(contract: DataContract, folder: Path) -> Iterator[str]:
    for pattern in dict.fromkeys((*contract.files, *contract.columns)):
        if not any(map(os.path.isfile, folder.glob(pattern))):
            yield f"No file matches {pattern}."


def _columns(contract: DataContract, folder: Path) -> Iterator[str]:
    for pattern, columns in contract.columns.items():
        tables = list(filter(os.path.isfile, folder.glob(pattern)))
        lacks = [_lacking(path, columns) for path in _spread(tables, _TABLES)]
        seen = _seen(len(lacks), len(tables), "tables")
        if shut := lacks.count(None):
            yield f"{pattern}: {shut:,} of {seen} cannot be read."
        if poor := [lack for lack in lacks if lack]:
            names = ", ".join(name for name in columns if any(name in lack for lack in poor))
            yield f"{pattern}: {len(poor):,} of {seen} lack declared columns: {names}."


def _lacking(path: Path, columns: Sequence[str]) -> list[str] | None:
    """Of ``columns``, those that the table's header lacks; None where it cannot be read as text."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
            text = file.read(_HEADER)
        rows = [csv.reader(io.StringIO(text, newline=""), delimiter=sign) for sign in ",;\t|"]
        headers = [next(filter(None, row), []) for row in rows]
    except (OSError, EOFError, zlib.error, csv.Error):
        return None
    return min(([name for name in columns if name not in header] for header in headers), key=len)


def _sizes(contract: DataContract, folder: Path) -> Iterator[str]:
    if contract.image_size is None:
        return
    named = {path for pattern in contract.files for path in _images(folder, pattern)}
    images = sorted(named or _images(folder, "**/*"), key=str)
    sizes = [image_size(path) for path in _spread(images, _IMAGES)]
    known = [size for size in sizes if size is not None]
    wrong = sum(size != contract.image_size for size in known)
    asked = "{} × {} pixels".format(*contract.image_size)
    seen = _seen(len(sizes), len(images), "images")
    if wrong:
        yield f"{wrong:,} of {seen} are not {asked}."
    elif not known:
        yield f"Of {seen} (PNG, JPEG, TIFF, BMP) none can be measured, and all must be {asked}."


def _images(folder: Path, pattern: str) -> list[Path]:
    return [path for path in folder.glob(pattern) if path.suffix.lower() in SUFFIXES]


def _spread(paths: Sequence[Path], most: int) -> list[Path]:
    """``most`` of ``paths`` at even distances; all, where they are no more."""
    number = min(most, len(paths))
    return [paths[index * len(paths) // number] for index in range(number)]


def _seen(looked: int, total: int, what: str) -> str:
    return f"{total:,} {what}" if looked == total else f"{looked:,} {what} looked at (there are {total:,})"
