"""Imports cut down to the names that the slice uses."""

from __future__ import annotations

import ast
from collections.abc import Collection

from ..analysis import Statement
from ..analysis.binding import bound_name


def kept_aliases(statement: Statement, used: Collection[str]) -> list[ast.alias] | None:
    """The aliases of a plain import that are used, ``*`` always; None where it is no plain import."""
    node = statement.node
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return None
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return list(node.names)
    return [alias for alias in node.names if alias.name == "*" or bound_name(alias) in used]


def narrowed(statement: Statement, used: Collection[str]) -> str | None:
    """The import with only the ``used`` names, or None where the statement stays as it is."""
    kept = kept_aliases(statement, used)
    node = statement.node
    if kept is None or not isinstance(node, ast.Import | ast.ImportFrom) or len(kept) == len(node.names):
        return None
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import(kept))
    return ast.unparse(ast.ImportFrom(node.module, kept, node.level))


def names_left(statement: Statement, used: Collection[str]) -> set[str]:
    """Names that the statement binds in the slice."""
    kept = kept_aliases(statement, used)
    names = set(statement.defines | statement.writes)
    if kept is None:
        return names
    return {bound_name(alias) for alias in kept}
