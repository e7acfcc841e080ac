"""A notebook as analysis sees it: cells in order, with sources, tags and marks; no outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

CellKind = Literal["code", "markdown", "raw"]
Role = Literal["data", "model", "train", "test", "aggregate", "skip"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Magic:
    """One IPython magic or shell line: ``text`` as written, at 1-based ``line`` of its cell."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        number: 1-based position among all cells of the notebook, of any kind.
        kind: ``code``, ``markdown`` or ``raw``.
        source: as written.
        python: ``source`` with magics and shell lines made inert, line for line; empty unless code.
        tags: the cell's tags, in order.
        directive: the word after ``#| federate:`` in the first line or ``federate:`` in a tag, as written
            (it may be no known role), or None.
        magics: the lines that ``python`` leaves out.
    """

    number: int
    kind: CellKind
    source: str
    python: str
    tags: tuple[str, ...] = ()
    directive: str | None = None
    magics: tuple[Magic, ...] = ()


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook read from ``folder / name``.

    ``digest`` covers the sources, kinds and tags of the cells, not outputs: running cells again
    does not change it. ``language`` is the kernel's, lower case (``python``).
    """

    name: str
    folder: Path
    digest: str
    cells: tuple[Cell, ...]
    language: str = "python"

    def cell(self, number: int) -> Cell:
        """The cell with 1-based ``number``."""
        return self.cells[number - 1]
