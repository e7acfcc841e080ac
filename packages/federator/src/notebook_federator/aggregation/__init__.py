"""Aggregation strategies: updates in, one at a time; the next global model out."""

from .port import Strategy
from .settings import PARTICIPATION, SETTINGS, make_strategy

__all__ = ["PARTICIPATION", "SETTINGS", "Strategy", "make_strategy"]
