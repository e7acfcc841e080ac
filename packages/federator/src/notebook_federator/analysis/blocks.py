"""Recognises blocks by bare name and by mark, in that order, and where each was last used."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from ..notebook import ROLES, Cell, Notebook, Role
from .shapes import Block, Place, Statement
from .signatures import is_callable_definition, is_template, signature_of

BARE_NAMES: Mapping[str, Role] = {"load_data": "data", "Model": "model", "train": "train", "test": "test"}
ORDER: tuple[Role, ...] = ("data", "model", "train", "test", "aggregate")


def marked_cells(notebook: Notebook) -> dict[Role, list[Cell]]:
    """Code cells by the role that their mark gives them; unknown words are left to findings."""
    marked: dict[Role, list[Cell]] = {}
    for cell in notebook.cells:
        for role in ROLES:
            if cell.kind == "code" and cell.directive == role:
                marked.setdefault(role, []).append(cell)
    return marked


def recognise(notebook: Notebook, statements: Sequence[Statement]) -> tuple[Block, ...]:
    """The blocks, one at most for each role.

    A bare name is recognised first, unless the author marked cells for the role and none of them holds
    the definition: an explicit mark elsewhere means that the name is only a namesake.
    """
    marked = marked_cells(notebook)
    skipped = {cell.number for cell in marked.get("skip", [])}
    kept = [statement for statement in statements if statement.place.cell not in skipped]
    blocks: dict[Role, Block] = {}
    for name, role in BARE_NAMES.items():
        definition = chosen_definition(kept, name)
        cells = {cell.number for cell in marked.get(role, [])}
        if definition is not None and (not cells or definition.place.cell in cells):
            blocks[role] = _named(notebook, definition, name, role)
    for role, found in marked.items():
        if role != "skip" and role not in blocks:
            blocks[role] = _marked(found, kept, role)
    if "aggregate" not in blocks:
        blocks.update((block.role, block) for block in _aggregation(kept))
    return tuple(blocks[role] for role in ORDER if role in blocks)


def chosen_definition(statements: Sequence[Statement], name: str) -> Statement | None:
    """The last statement that makes ``name`` a function or class.

    A later definition after a use wins too (the author ran it anew); a later binding to something else
    (``test = read_csv(...)``) does not count.
    """
    found = [statement for statement in statements if is_callable_definition(statement, name)]
    return found[-1] if found else None


def last_use(statements: Sequence[Statement], definition: Statement, name: str) -> int | None:
    """Index of the last top-level statement that calls ``name`` while it is ``definition``; None if none.

    Where nothing calls it but something else takes its name later, the index of that statement.
    """
    used: int | None = None
    for statement in statements[definition.index + 1 :]:
        if name in statement.calls and name in statement.reads:
            used = statement.index
        if name in statement.defines:
            return statement.index if used is None else used
    return used


def is_definition(node: ast.stmt) -> bool:
    """Whether ``node`` only defines or imports."""
    return isinstance(
        node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
    )


def _named(notebook: Notebook, definition: Statement, name: str, role: Role) -> Block:
    place = definition.place
    source = "\n".join(notebook.cell(place.cell).source.split("\n")[place.line - 1 : place.end_line])
    return Block(
        role,
        "bare name",
        (place.cell,),
        name,
        place,
        (definition.index,),
        signature_of(definition.node),
        template=is_template(source, definition.node),
        reason=f"`{name}` is defined in cell {place.cell}",
    )


def _marked(cells: Sequence[Cell], statements: Sequence[Statement], role: Role) -> Block:
    numbers = tuple(cell.number for cell in cells)
    indices = tuple(s.index for s in statements if s.place.cell in numbers)
    named = "cell " if len(numbers) == 1 else "cells "
    reason = named + ", ".join(map(str, numbers)) + f" marked `federate: {role}`"
    return Block(role, "cell mark", numbers, None, Place(numbers[0], 1), indices, reason=reason)


def _aggregation(statements: Sequence[Statement]) -> list[Block]:
    found = [
        s for s in statements if "strategy" in s.defines and isinstance(s.node, ast.Assign | ast.AnnAssign)
    ]
    if not found:
        return []
    last = found[-1]
    reason = f"`strategy` is assigned in cell {last.place.cell}"
    template = isinstance(last.node.value, ast.Constant) if isinstance(last.node, ast.Assign) else False
    block = Block(
        "aggregate",
        "bare name",
        (last.place.cell,),
        "strategy",
        last.place,
        (last.index,),
        None,
        template,
        reason,
    )
    return [block]
