"""What stands in the way of federating a notebook: where, why, and what to do next."""

from .examining import RULES, examine
from .fixing import fix
from .lock_rules import LOCK_RULES, of_lock
from .reference import reference
from .rendering import place_of, render, to_json
from .shapes import LEVELS, Finding, Level, Rule

__all__ = [
    "LEVELS",
    "LOCK_RULES",
    "RULES",
    "Finding",
    "Level",
    "Rule",
    "examine",
    "fix",
    "of_lock",
    "place_of",
    "reference",
    "render",
    "to_json",
]
