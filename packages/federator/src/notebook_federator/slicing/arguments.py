"""Kept while callers move to :mod:`notebook_federator.analysis.arguments`."""

from ..analysis.arguments import arguments, own_call

__all__ = ["arguments", "own_call"]
