"""Making site folders from one collection of images: for trials, teaching and comparison."""

from .folders import split
from .manifest import Patch, read_manifest
from .plan import Plan, plan_split
from .settings import SET_SHARES, TABLE_1, SplitSettings
from .summary import SplitRow, SplitSummary

__all__ = [
    "SET_SHARES",
    "TABLE_1",
    "Patch",
    "Plan",
    "SplitRow",
    "SplitSettings",
    "SplitSummary",
    "plan_split",
    "read_manifest",
    "split",
]
