"""What rules look at: the analysis, what a slice would carry, and places of syntax nodes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..analysis import Analysis, Block, Place, Statement
from ..analysis.analysing import flow_of, needs_of
from ..notebook import Notebook, Role

_DATA_FOLDER = re.compile(r"^(data_?(path|dir|root|folder)|(root|base)_?(dir|path)|data)$", re.IGNORECASE)
_START, _END = (re.compile(rf"#[ #]*{word} CODE HERE[ #]*", re.IGNORECASE) for word in ("START", "END"))
_COMMENT = re.compile(r"#.*|^\s*(?:raise NotImplementedError.*|pass|\.\.\.)$", re.MULTILINE)
NEEDED: tuple[Role, ...] = ("data", "model", "train", "test")


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
        unfilled: roles whose block is still the template.
        sites: how many sites the federation has, where known.
    """

    notebook: Notebook
    analysis: Analysis
    carried: tuple[Statement, ...]
    spots: tuple[Spot, ...]
    unfilled: frozenset[Role] = frozenset()
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

    def is_parameter(self, spot: Spot) -> bool:
        """Whether ``spot`` stands in the top-level assignment of a data folder, set by each site."""
        node = spot.statement.node
        return (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
            and bool(_DATA_FOLDER.match(node.targets[0].id))
        )


def characters(line: str, offset: int) -> int:
    """The column in characters of the parser's UTF-8 byte ``offset``."""
    return len(line.encode()[:offset].decode(errors="ignore"))


def gather(notebook: Notebook, analysis: Analysis, sites: int | None) -> Facts:
    """Prepare what the rules need, once."""
    carried = _closure(analysis)
    spots = tuple(spot for statement in carried for spot in _spots(statement, statement.node, ()))
    unfilled = frozenset(block.role for block in analysis.blocks if _is_unfilled(block, analysis))
    return Facts(notebook, analysis, carried, spots, unfilled, sites)


def _is_unfilled(block: Block, analysis: Analysis) -> bool:
    """Whether nothing but comments and ``raise NotImplementedError`` stands between a block's marks."""
    if block.role not in NEEDED or block.name is None:
        return False
    parts = _START.split(analysis.source(block.place))[1:]
    between = [_END.split(part)[0] for part in parts]
    return block.template or any(not _COMMENT.sub("", part).strip() for part in between)


def _closure(analysis: Analysis) -> tuple[Statement, ...]:
    """The statements of the blocks and all that they rest on, as a slice would carry them."""
    blocks = [block for block in (*analysis.blocks, *analysis.suggestions) if block.role in NEEDED]
    needs = [need for block in blocks for need in needs_of(block, analysis.statements)]
    carried = {index for block in blocks for index in block.statements}
    carried |= flow_of(analysis).closure(needs).statements.keys()
    return tuple(analysis.statements[index] for index in sorted(carried))


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
