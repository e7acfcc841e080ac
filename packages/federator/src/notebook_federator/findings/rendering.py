"""Findings as plain text, each with its source line and a caret, and as plain JSON values."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..notebook import Notebook
from .shapes import LEVELS, Finding

_WIDTH = 100
_BEFORE = 60


def render(findings: Sequence[Finding], notebook: Notebook) -> str:
    """The findings, one paragraph each, and a last line that counts them. No colour, no path."""
    if not findings:
        return "No findings.\n"
    paragraphs = ["\n".join(_paragraph(finding, notebook)) for finding in findings]
    return "\n\n".join([*paragraphs, _summary(findings)]) + "\n"


def to_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings as plain JSON values, keys as the fields of :class:`Finding`."""
    return [asdict(finding) for finding in findings]


def place_of(finding: Finding) -> str:
    """``cell 7, line 3``, or ``the notebook``."""
    return f"cell {finding.cell}, line {finding.line}" if finding.cell else "the notebook"


def _paragraph(finding: Finding, notebook: Notebook) -> list[str]:
    lines = [f"{finding.code} {finding.level}, {place_of(finding)}: {finding.message}"]
    source = notebook.cell(finding.cell).source.split("\n") if finding.cell else []
    if 1 <= finding.line <= len(source) and source[finding.line - 1].strip():
        lines += _pointed(source[finding.line - 1], finding)
    return [*lines, f"      next: {finding.next_step}"]


def _pointed(text: str, finding: Finding) -> list[str]:
    """The source line, cut to a window where it is long, and the carets under the place."""
    start = max(0, finding.column - _BEFORE) if len(text) > _WIDTH else 0
    window, head = text[start : start + _WIDTH], "..." if start else ""
    tail = "..." if start + _WIDTH < len(text) else ""
    shown = head + _expanded(window) + tail
    before = len(head) + _columns(window[: finding.column - start])
    marked = _columns(window[finding.column - start : finding.end_column - start])
    return [f"{finding.line:>6} | {shown}", f"       | {' ' * before}{'^' * max(1, marked)}"]


def _expanded(text: str) -> str:
    return text.replace("\t", "    ")


def _columns(text: str) -> int:
    """Terminal columns that ``text`` takes: tabs 4, East Asian wide characters 2, accents 0."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    marks = sum(unicodedata.combining(char) > 0 for char in text)
    return len(_expanded(text)) + wide - marks


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.level for finding in findings)
    parts = [f"{counts[level]} {level}{'s' * (counts[level] != 1)}" for level in LEVELS if counts[level]]
    return ", ".join(parts) + "."
