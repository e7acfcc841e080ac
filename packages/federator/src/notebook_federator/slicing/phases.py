"""Puts each carried statement into the phase in which it must run."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from nbfed_site.contracts import PHASES, NotebookBlocked, Phase

from ..analysis import Analysis
from ..analysis.flow import Flow, Held

_RANK = {phase: rank for rank, phase in enumerate(PHASES)}


def place(
    analysis: Analysis, flow: Flow, indices: Collection[int], fixed: Mapping[int, Phase]
) -> dict[int, Phase]:
    """The phase of each statement: its mark's, else the latest of what it depends on, else ``setup``.

    A statement also stays behind those before it in the notebook whose names or objects it changes.

    Raises:
        NotebookBlocked: a marked cell needs what only a later phase makes.
    """
    phases: dict[int, Phase] = {}
    for index in sorted(indices):
        depends = _sources(flow, index) & phases.keys()
        latest = max((phases[i] for i in depends), key=_RANK.__getitem__, default=PHASES[0])
        if index in fixed:
            phases[index] = fixed[index]
            if _RANK[latest] > _RANK[fixed[index]]:
                raise _out_of_order(analysis, index, next(i for i in depends if phases[i] == latest), latest)
            continue
        behind = (phases[i] for i in phases if _RANK[phases[i]] > _RANK[latest] and _disturbs(flow, index, i))
        phases[index] = max(behind, key=_RANK.__getitem__, default=latest)
    return phases


def _sources(flow: Flow, index: int) -> set[int]:
    """Statements that ``index`` depends on, those needed by functions that it may call included."""
    found: set[int] = set()
    seen: set[str] = set()
    waiting = list(flow.reads(index))
    definition = isinstance(
        flow.statements[index].node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    )
    while waiting:
        name = waiting.pop()
        held = flow.held(name, index)
        if name in seen or held is None:
            continue
        seen.add(name)
        found.update(flow.origins(held, index))
        if not definition:
            waiting += flow.called(held)
    return found


def _disturbs(flow: Flow, later: int, earlier: int) -> bool:
    """Whether running ``later`` before ``earlier`` would change what ``earlier`` sees or leaves."""
    mine, other = flow.statements[later], flow.statements[earlier]
    if (mine.defines | mine.writes) & (flow.reads(earlier) | other.defines):
        return True
    held: list[Held] = [h for name in flow.reads(earlier) if (h := flow.held(name, earlier))]
    return any(flow.changed[later] & h.objects for h in held)


def _out_of_order(analysis: Analysis, index: int, source: int, latest: Phase) -> NotebookBlocked:
    cell, other = analysis.statements[index].place.cell, analysis.statements[source].place.cell
    return NotebookBlocked(
        f"Cell {cell} needs cell {other}, which belongs to the {latest} block and runs after it.",
        where=f"notebook cell {cell}, line {analysis.statements[index].place.line}",
        hint="Move that code to a cell without a mark before it, or mark the cells in the order data, "
        "model, train, test.",
    )
