"""Proposes roles for cells of a notebook that names or marks none."""

from __future__ import annotations

from collections.abc import Sequence

from ..notebook import Notebook
from .shapes import Block, Statement


def suggest(
    notebook: Notebook, statements: Sequence[Statement], blocks: Sequence[Block]
) -> tuple[Block, ...]:
    """One proposed block for each role that ``blocks`` lacks and some cell seems to play."""
    return ()
