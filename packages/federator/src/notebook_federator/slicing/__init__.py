"""Cuts a notebook into a self-contained module and writes it to disk."""

from .cutting import cut
from .shapes import Carried, Dropped, Slice
from .writing import files, write

__all__ = ["Carried", "Dropped", "Slice", "cut", "files", "write"]
