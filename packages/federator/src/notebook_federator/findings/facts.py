"""What rules look at: the analysis, what a slice would carry, and places of syntax nodes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from nbfed_site.contracts import Manifest, Names, NotebookBlocked

from ..analysis import Analysis, Place, Statement, carried_statements
from ..analysis.habits import DATA_NAME
from ..notebook import Notebook, Role

NEEDED: tuple[Role, ...] = ("data", "model", "train", "test")


class CutModule(Protocol):
    """A slice, as far as rules look at it."""

    @property
    def text(self) -> str:
        """The module's source."""

    @property
    def manifest(self) -> Manifest:
        """Where its lines come from."""


Cut = Callable[[Analysis], CutModule]
"""Cuts a notebook's slice, or raises NotebookBlocked."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A syntax node in a carried statement, with the nodes around it from the outermost inwards."""

    statement: Statement
    node: ast.AST
    around: tuple[ast.AST, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """One notebook as all rules see it.

    Attributes:
        carried: the statements that a slice would hold, in notebook order.
        spots: every syntax node in them, outer nodes first; docstrings and annotations left out.
        shown: the slice's own lines by cell and line; empty where it was not cut.
        names: what plays which part in the slice; None where it was not cut.
        blocked: why it cannot be cut.
        unfilled: roles whose block is still the template.
        sites: how many sites the federation has, where known.
    """

    notebook: Notebook
    analysis: Analysis
    carried: tuple[Statement, ...]
    spots: tuple[Spot, ...]
    shown: Mapping[tuple[int, int], str]
    names: Names | None
    blocked: NotebookBlocked | None
    unfilled: frozenset[Role]
    sites: int | None = None

    def place(self, statement: Statement, node: ast.AST) -> Place:
        """Where ``node`` of ``statement`` stands; the parser's byte offsets become characters."""
        if not isinstance(node, ast.expr | ast.stmt | ast.arg | ast.keyword | ast.alias):
            return statement.place
        lines = self.notebook.cell(statement.place.cell).python.split("\n")
        end_line = node.end_lineno or node.lineno
        return Place(
            statement.place.cell,
            node.lineno,
            characters(lines[node.lineno - 1], node.col_offset),
            end_line,
            characters(lines[end_line - 1], node.end_col_offset or node.col_offset),
        )

    def function(self, role: Role) -> tuple[Statement, ast.FunctionDef | ast.AsyncFunctionDef] | None:
        """The statement and syntax tree of the function that plays ``role``, if one does."""
        block = self.analysis.block(role)
        for statement in reversed(self.analysis.statements) if block else ():
            node = statement.node
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and block and node.name == block.name:
                return statement, node
        return None

    def is_replaced(self, spot: Spot) -> bool:
        """Whether a parameter of the federation takes the place of the literal at ``spot``."""
        if not self.shown:
            target = getattr(spot.statement.node, "targets", [None])[0]
            return isinstance(target, ast.Name) and bool(DATA_NAME.match(target.id))
        place = self.place(spot.statement, spot.node)
        shown = self.shown.get((place.cell, place.line))
        line = self.notebook.cell(place.cell).source.split("\n")[place.line - 1]
        return shown is not None and line[place.column : place.end_column] not in shown


def characters(line: str, offset: int) -> int:
    """The column in characters of the parser's UTF-8 byte ``offset``."""
    return len(line.encode()[:offset].decode(errors="ignore"))


def gather(notebook: Notebook, analysis: Analysis, sites: int | None, cut: Cut | None) -> Facts:
    """Prepare what the rules need, once."""
    module, blocked = _module(analysis, cut)
    shown = _shown(module) if module else {}
    indices = _carried(analysis, shown) if shown else carried_statements(analysis)
    carried = tuple(analysis.statements[index] for index in indices)
    spots = tuple(spot for statement in carried for spot in _spots(statement, statement.node, ()))
    unfilled = frozenset(block.role for block in analysis.blocks if block.template and block.role in NEEDED)
    names = module.manifest.names if module else None
    return Facts(notebook, analysis, carried, spots, shown, names, blocked, unfilled, sites)


def _module(analysis: Analysis, cut: Cut | None) -> tuple[CutModule | None, NotebookBlocked | None]:
    """The notebook's slice, or why it cannot be cut."""
    try:
        return (cut(analysis) if cut else None), None
    except NotebookBlocked as blocked:
        return None, blocked


def _shown(module: CutModule) -> Mapping[tuple[int, int], str]:
    """The lines of the slice by where they come from."""
    lines = module.text.split("\n")
    return {
        (span.cell, span.cell_line + offset): lines[span.slice_line - 1 + offset]
        for span in module.manifest.spans
        for offset in range(span.count)
    }


def _carried(analysis: Analysis, shown: Collection[tuple[int, int]]) -> tuple[int, ...]:
    return tuple(
        statement.index
        for statement in analysis.statements
        if any(
            (statement.place.cell, line) in shown
            for line in range(statement.place.line, max(statement.place.end_line, statement.place.line) + 1)
        )
    )


def _spots(statement: Statement, node: ast.AST, around: tuple[ast.AST, ...]) -> Iterator[Spot]:
    yield Spot(statement, node, around)
    inner = (*around, node)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        children = value if isinstance(value, list) else [value]
        for child in children:
            if isinstance(child, ast.AST) and not _is_text(child):
                yield from _spots(statement, child, inner)


def _is_text(node: ast.AST) -> bool:
    """A docstring, or a string that stands alone as a comment."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute chain; a call or subscript inside it becomes an empty part."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def written(node: ast.AST) -> str:
    """The code of ``node`` on one line, shortened."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "..."
