"""What a slice turns out to read and to need, noted while its text is followed."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

from .values import Table, Text, Value


@dataclass(slots=True)
class Facts:
    """Everything noted so far.

    Attributes:
        place: a line of the slice as the author knows it (``cell 5, line 3``).
        files: patterns below the data folder that are read whatever happens.
        doubtful: patterns that may be read, and where.
        opaque: what reads the data folder in a way of its own, and where.
        tables: every table read.
        images: whether images are read.
        outputs: numbers of outputs of the model's layers, in order.
        shapes: sizes (width, height) that the code demands of an image.
        names: what each name was last given, at any depth.
        line: where the slice is being followed.
        doubt: more than 0 while that code may not run.
    """

    place: Callable[[int], str]
    files: dict[str, None] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)
    opaque: dict[str, str] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    images: bool = False
    outputs: list[Value] = field(default_factory=list)
    shapes: dict[tuple[int, int], None] = field(default_factory=dict)
    names: dict[str, Value] = field(default_factory=dict)
    line: int = 0
    doubt: int = 0

    @property
    def here(self) -> str:
        """The place that is being followed."""
        return self.place(self.line)

    def read(self, path: Text, below: str = "") -> str:
        """Note that the file at ``path`` is read (or files at ``below`` in that folder); its pattern."""
        pattern = (path.joined(Text(below)) if below else path).pattern()
        if pattern and self.doubt:
            self.doubtful.setdefault(pattern, self.here)
        elif pattern:
            self.files[pattern] = None
        return pattern

    def table(self, path: Text, *, named: bool) -> Table:
        """Note that a table is read."""
        table = Table(self.read(path) if path.below else "", named)
        self.tables.append(table)
        return table

    def column(self, table: Table, names: list[str]) -> None:
        """Note columns that the code takes from a table, but for those that it added before."""
        if not self.doubt:
            table.columns.update(dict.fromkeys(name for name in names if name not in table.added))

    def unclear(self, node: ast.expr) -> None:
        """Note a call that is given the data folder and reads what it likes."""
        self.opaque.setdefault(ast.unparse(node)[:60], self.here)
