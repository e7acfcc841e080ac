"""From a notebook to an :class:`Analysis`."""

from __future__ import annotations

from ..notebook import Notebook
from .shapes import Analysis


def analyse(notebook: Notebook) -> Analysis:
    """Find definitions, dependences, imports, blocks and strategy without running any cell.

    Reads the metadata of installed distributions and helper modules beside the notebook.
    """
    return Analysis(notebook, ())
