"""What cutting a notebook yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nbfed_site.contracts import Manifest


@dataclass(frozen=True, slots=True)
class Carried:
    """A top-level name that the slice defines, where from, and why (``used by train``)."""

    name: str
    cell: int
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A top-level name of the notebook that the slice leaves out."""

    name: str
    cell: int
    line: int


@dataclass(frozen=True, slots=True)
class Slice:
    """A self-contained module cut from a notebook.

    ``modules`` maps the relative path of each carried helper module to its bytes.
    """

    text: str
    manifest: Manifest
    modules: Mapping[str, bytes]
    carried: tuple[Carried, ...]
    dropped: tuple[Dropped, ...]
