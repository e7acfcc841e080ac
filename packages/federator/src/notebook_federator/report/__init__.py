"""What a run achieved: tables with intervals, curves, and one self-contained HTML file."""

from .data import (
    ModelEvaluation,
    Participation,
    Receipts,
    RoundRecord,
    RunRecord,
    Settings,
    SiteRecord,
)
from .plot import plot
from .scores import Score
from .tables import HEADINGS, Row, table
from .write import ReportFiles, write_report

__all__ = [
    "HEADINGS",
    "ModelEvaluation",
    "Participation",
    "Receipts",
    "ReportFiles",
    "RoundRecord",
    "Row",
    "RunRecord",
    "Score",
    "Settings",
    "SiteRecord",
    "plot",
    "table",
    "write_report",
]
