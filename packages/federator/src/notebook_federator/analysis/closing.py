"""Which statements the blocks of a notebook rest on."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from .analysing import flow_of, needs_of
from .barring import barred
from .effects import dotted
from .flow import Flow, Need
from .habits import DRAWING, INSPECTING
from .shapes import Analysis, Block


def carried_statements(analysis: Analysis) -> tuple[int, ...]:
    """Indices of the statements that a slice of the blocks found so far would rest on, in order.

    Never raises: missing blocks are left out, and suggested ones stand in for them.
    """
    blocks = [b for b in (*analysis.blocks, *analysis.suggestions) if b.role not in ("aggregate", "skip")]
    flow = flow_of(analysis)
    flow = flow.barring(barred(analysis, flow, blocks))
    needs = [need for block in blocks for need in block_needs(analysis, flow, block)]
    closure = flow.closure(needs, moment_of(analysis, blocks))
    own = {index for block in blocks if not block.name for index in own_statements(analysis, flow, block)}
    return tuple(sorted(own | closure.statements.keys()))


def block_needs(analysis: Analysis, flow: Flow, block: Block) -> list[Need]:
    """What a block rests on: its function, or the names that its cells' own statements read."""
    if block.name:
        return needs_of(block, analysis.statements)
    own = own_statements(analysis, flow, block)
    return [
        Need(name, index, f"the {block.role} block", firm=name in analysis.statements[index].reads)
        for index in own
        for name in sorted(flow.reads(index))
    ]


def own_statements(analysis: Analysis, flow: Flow, block: Block) -> list[int]:
    """Statements of marked cells that are theirs whoever needs them: no imports, nothing for the eye."""
    eye = _for_the_eye(analysis)
    return [i for i in block.statements if i not in flow.barred | eye and not is_import(analysis, i)]


def _for_the_eye(analysis: Analysis) -> frozenset[int]:
    """Bare values, looks at data, and statements that call or keep something of a plotting module."""
    drawing: set[str] = set()
    found: set[int] = set()
    for statement in analysis.statements:
        node = statement.node
        if isinstance(node, ast.Import | ast.ImportFrom):
            drawing -= statement.defines
            drawing |= {i.bound for i in statement.imports if i.module.partition(".")[0] in DRAWING}
            continue
        value = node.value if isinstance(node, ast.Expr | ast.Assign) else None
        called = dotted(value.func)[0] if isinstance(value, ast.Call) else ""
        if called in drawing or called == "display":
            drawing |= statement.defines
            found.add(statement.index)
        elif isinstance(node, ast.Expr) and (not statement.calls or _inspects(node.value)):
            found.add(statement.index)
    return frozenset(found)


def _inspects(value: ast.expr) -> bool:
    """Whether a statement is a call that only shows what something is (``df.head()``)."""
    return isinstance(value, ast.Call) and dotted(value.func)[-1] in INSPECTING


def moment_of(analysis: Analysis, blocks: Sequence[Block]) -> int:
    """When the notebook's own code last used the blocks: the values of that moment are those meant.

    Blocks that it never uses count from their definition; the end of the notebook where it uses none.
    """
    end = len(analysis.statements)
    uses = [needs_of(block, analysis.statements)[0].position for block in blocks if block.name]
    marked = [max(block.statements) + 1 for block in blocks if not block.name and block.statements]
    if not marked and all(position == end for position in uses):
        return end
    defined = [block.statements[0] + 1 for block in blocks if block.name]
    return max([*(position for position in uses if position != end), *marked, *defined])


def is_import(analysis: Analysis, index: int) -> bool:
    """Whether the statement is a plain import."""
    return isinstance(analysis.statements[index].node, ast.Import | ast.ImportFrom)
