"""The marks that ``check --fix`` writes."""

from __future__ import annotations

from ..analysis import Analysis
from ..notebook import Notebook, Role


def fix(notebook: Notebook, analysis: Analysis) -> dict[int, Role]:
    """Cell numbers and the roles to mark them with, from the analysis's suggestions.

    Cells that already carry a mark, and cells that two suggestions claim, are left alone.
    """
    claims: dict[int, set[Role]] = {}
    for block in analysis.suggestions:
        for number in block.cells:
            claims.setdefault(number, set()).add(block.role)
    return {
        number: next(iter(roles))
        for number, roles in sorted(claims.items())
        if len(roles) == 1 and notebook.cell(number).directive is None
    }
