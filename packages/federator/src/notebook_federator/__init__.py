"""Notebook Federator: from a private Jupyter notebook to a running federation."""

__version__ = "0.1.0"

__all__ = ["__version__"]
