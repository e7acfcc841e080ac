"""Statements that no slice may hold: Flower's, and the notebook's own training and test runs."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from .flow import Flow
from .habits import FLOWER
from .shapes import Analysis, Block, Statement


def barred(analysis: Analysis, flow: Flow, blocks: Sequence[Block]) -> frozenset[int]:
    """Indices of statements of Flower, of the aggregation block, and of runs of function blocks."""
    runs = {block.name for block in blocks if block.name and block.role in ("train", "test")}
    found = {s.index for s in analysis.statements if _runs(flow, s, runs)}
    aggregate = analysis.block("aggregate")
    if aggregate is not None:
        found |= set(aggregate.statements)
    return frozenset(found | _flower(analysis))


def _flower(analysis: Analysis) -> set[int]:
    """Imports of Flower alone, and whatever reads a name that comes from Flower."""
    tainted: set[str] = set()
    found: set[int] = set()
    for statement in analysis.statements:
        flower = {i.bound for i in statement.imports if i.module.partition(".")[0] in FLOWER}
        if flower and isinstance(statement.node, ast.Import | ast.ImportFrom):
            tainted |= flower
            if flower == set(statement.defines):
                found.add(statement.index)
        elif statement.reads & tainted or flower & statement.defines:
            tainted |= statement.defines
            found.add(statement.index)
        else:
            tainted -= statement.certain
    return found


def _runs(flow: Flow, statement: Statement, runs: set[str]) -> bool:
    """Whether a statement that is no definition calls one of ``runs``, directly or through its functions."""
    if isinstance(statement.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    called = {call.partition(".")[0] for call in statement.calls} & statement.reads
    seen: set[str] = set()
    waiting = list(called)
    while waiting:
        name = waiting.pop()
        if name in runs:
            return True
        held = flow.held(name, statement.index)
        if name not in seen and held is not None:
            seen.add(name)
            waiting += flow.called(held)
    return False
