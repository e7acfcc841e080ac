"""The data contract: what a site's data must look like before anybody trains on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class DataContract:
    """Expectations that a site checks itself; only whether and how they are missed leaves it.

    Attributes:
        files: patterns below the data folder (``train/*/*.png``, as ``Path.glob`` reads them), each of
            which must match a file.
        columns: file name pattern -> columns that the header of every matching table must hold.
        labels: class labels as the site card counts them; no other may occur.
        image_size: width and height in pixels of every image; None where they may differ.
        minimum: split (``train``, ``validation``, ``test``) -> fewest samples.
        minimum_per_class: fewest training samples of each class; 0 asks for none.

    Raises:
        ValueError: a pattern leads out of the data folder, or is none.
    """

    files: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    minimum: Mapping[str, int] = field(default_factory=dict)
    minimum_per_class: int = 0

    def __post_init__(self) -> None:
        for pattern in (*self.files, *self.columns):
            if not stays_below(pattern):
                raise ValueError(f"{pattern!r} is no pattern of files below the data folder")


def stays_below(pattern: str) -> bool:
    """Whether ``pattern`` is one that ``Path.glob`` takes, and cannot leave the folder."""
    parts = PurePosixPath(pattern).parts
    sound = all(part == "**" or (part != ".." and "**" not in part) for part in parts)
    return bool(parts) and parts[0] != "/" and sound
