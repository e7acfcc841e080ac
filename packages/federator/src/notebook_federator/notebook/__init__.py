"""Notebook files as frozen values: cells with positions, tags, marks and inert magics."""

from .document import ROLES, Cell, CellKind, Magic, Notebook, Role
from .marking import write_marks
from .reading import read

__all__ = ["ROLES", "Cell", "CellKind", "Magic", "Notebook", "Role", "read", "write_marks"]
