"""What the cells of a notebook define, read, change and import; never runs them."""

from .analysing import analyse
from .shapes import (
    Analysis,
    Block,
    Framework,
    Import,
    LocalModule,
    Param,
    ParseError,
    Place,
    Requirement,
    RoundsRead,
    Rule,
    Signature,
    Statement,
    StrategyRead,
    Unresolved,
)

__all__ = [
    "Analysis",
    "Block",
    "Framework",
    "Import",
    "LocalModule",
    "Param",
    "ParseError",
    "Place",
    "Requirement",
    "RoundsRead",
    "Rule",
    "Signature",
    "Statement",
    "StrategyRead",
    "Unresolved",
    "analyse",
]
