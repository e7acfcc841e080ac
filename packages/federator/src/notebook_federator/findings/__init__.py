"""What stands in the way of federating a notebook: where, why, and what to do next."""

from .examining import RULES, examine
from .fixing import fix
from .reference import reference
from .rendering import place_of, render, to_json
from .shapes import LEVELS, Finding, Level, Rule

__all__ = [
    "LEVELS",
    "RULES",
    "Finding",
    "Level",
    "Rule",
    "examine",
    "fix",
    "place_of",
    "reference",
    "render",
    "to_json",
]
