"""What the cells of a notebook define, read, change and import; never runs them."""

from .analysing import analyse, flow_of, needs_of
from .closing import carried_statements
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
    "carried_statements",
    "flow_of",
    "needs_of",
]
