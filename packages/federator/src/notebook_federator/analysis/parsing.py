"""Cells to top-level statements with the names that each binds, reads and changes."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..notebook import Cell, Notebook
from .binding import bound_name, certain_names
from .effects import body, dotted
from .scopes import uses
from .shapes import Import, ParseError, Place, Statement


def parse(notebook: Notebook) -> tuple[tuple[Statement, ...], tuple[ParseError, ...]]:
    """The top-level statements of all code cells, and the cells that are not Python."""
    statements: list[Statement] = []
    errors: list[ParseError] = []
    for cell in notebook.cells:
        if cell.kind != "code" or not cell.python.strip():
            continue
        try:
            tree = parse_source(cell.python)
        except (SyntaxError, ValueError) as error:
            errors.append(_error(cell, error))
            continue
        for node in tree.body:
            if not _is_inert(node, cell):
                statement = _statement(len(statements), cell.number, node)
                statements.append(replace(statement, place=in_characters(statement.place, notebook)))
    return tuple(statements), tuple(errors)


def parse_source(source: str) -> ast.Module:
    """``ast.parse`` without the warnings that odd literals give, top-level ``await`` allowed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(source, "<cell>", "exec", flags, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


def place_of(node: ast.stmt | ast.expr, cell: int) -> Place:
    """Where ``node`` stands, columns in bytes; a decorated definition begins at its first decorator."""
    decorators = getattr(node, "decorator_list", [])
    line = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
    return Place(cell, line, node.col_offset, end_line, end_column)


def in_characters(place: Place, notebook: Notebook) -> Place:
    """``place`` with its columns, which the parser counts in UTF-8 bytes, in characters."""
    lines = notebook.cell(place.cell).python.split("\n")
    column, end = (
        len(lines[line - 1].encode()[:offset].decode(errors="ignore"))
        for line, offset in ((place.line, place.column), (place.end_line, place.end_column))
    )
    return replace(place, column=column, end_column=end)


def imports_of(node: ast.AST, cell: int) -> Iterator[Import]:
    """All imports in ``node``, those inside functions included."""
    yield from _imports(node, cell, optional=False)


def _imports(node: ast.AST, cell: int, *, optional: bool) -> Iterator[Import]:
    match node:
        case ast.Import():
            for alias in node.names:
                place = place_of(node, cell)
                yield Import(alias.name, None, bound_name(alias), 0, optional, place)
        case ast.ImportFrom():
            for alias in node.names:
                place, module = place_of(node, cell), node.module or ""
                yield Import(module, alias.name, alias.asname or alias.name, node.level, optional, place)
        case ast.Try():
            caught = any(_catches_import(handler) for handler in node.handlers)
            for child in node.body:
                yield from _imports(child, cell, optional=optional or caught)
            others: Iterable[ast.AST] = [*node.handlers, *node.orelse, *node.finalbody]
            for part in others:
                yield from _imports(part, cell, optional=optional or caught)
        case ast.expr():
            return
        case _:
            for inner in ast.iter_child_nodes(node):
                yield from _imports(inner, cell, optional=optional)


def _catches_import(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)}
    return bool(caught & {"ImportError", "ModuleNotFoundError", "Exception"})


def _is_inert(node: ast.stmt, cell: Cell) -> bool:
    """A ``pass`` that stands for a magic is no statement of the author's."""
    return isinstance(node, ast.Pass) and any(magic.line == node.lineno for magic in cell.magics)


def _statement(index: int, cell: int, node: ast.stmt) -> Statement:
    names, found = uses(node), body([node])
    return Statement(
        index,
        place_of(node, cell),
        node,
        defines=frozenset(names.defines),
        certain=frozenset(certain_names([node])) - {"*"},
        reads=frozenset(names.reads),
        deferred=frozenset(names.deferred),
        mutates=frozenset(found.mutated),
        writes=frozenset(names.writes),
        calls=frozenset(".".join(site.callee) for site in found.sites),
        imports=tuple(imports_of(node, cell)),
        deletes=frozenset(names.deletes),
        body=found,
    )


def literal(node: ast.expr | None) -> object:
    """The value of a literal expression.

    Raises:
        ValueError: it is not a literal.
    """
    if node is None:
        raise ValueError("nothing there")
    try:
        return ast.literal_eval(node)
    except (TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from error


def call_name(node: ast.AST) -> str:
    """The dotted name that a call calls, or empty."""
    return ".".join(dotted(node.func)) if isinstance(node, ast.Call) else ""


def _error(cell: Cell, error: SyntaxError | ValueError) -> ParseError:
    line = getattr(error, "lineno", None) or 1
    column = max((getattr(error, "offset", None) or 1) - 1, 0)
    lines = cell.source.split("\n")
    source = lines[line - 1] if line <= len(lines) else ""
    end = getattr(error, "end_lineno", None) or line
    end_column = max((getattr(error, "end_offset", None) or column + 2) - 1, column + 1)
    place = Place(cell.number, line, column, end if end == line else line, end_column)
    return ParseError(place, getattr(error, "msg", None) or str(error), source)
