"""Which statements the blocks of a notebook rest on."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from .analysing import flow_of, needs_of
from .barring import barred
from .shapes import Analysis, Block


def carried_statements(analysis: Analysis) -> tuple[int, ...]:
    """Indices of the statements that a slice of the blocks found so far would rest on, in order.

    Never raises: missing blocks are left out, and suggested ones stand in for them.
    """
    blocks = [b for b in (*analysis.blocks, *analysis.suggestions) if b.role not in ("aggregate", "skip")]
    flow = flow_of(analysis)
    flow = flow.barring(barred(analysis, flow, blocks))
    needs = [need for block in blocks for need in needs_of(block, analysis.statements)]
    closure = flow.closure(needs, moment_of(analysis, blocks))
    marked = {index for block in blocks if not block.name for index in block.statements}
    own = {i for i in marked - flow.barred if not is_import(analysis, i)}
    return tuple(sorted(own | closure.statements.keys()))


def moment_of(analysis: Analysis, blocks: Sequence[Block]) -> int:
    """When the notebook's own code last used the blocks: the values of that moment are those meant.

    The end of the notebook where it never does.
    """
    end = len(analysis.statements)
    uses = [needs_of(block, analysis.statements)[0].position for block in blocks if block.name]
    marked = [max(block.statements) + 1 for block in blocks if not block.name and block.statements]
    return max([*uses, *marked], default=end)


def is_import(analysis: Analysis, index: int) -> bool:
    """Whether the statement is a plain import."""
    return isinstance(analysis.statements[index].node, ast.Import | ast.ImportFrom)
