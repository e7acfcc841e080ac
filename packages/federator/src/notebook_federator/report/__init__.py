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
from .history import read_run
from .markdown import shared_table
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
    "read_run",
    "shared_table",
    "table",
    "write_report",
]
