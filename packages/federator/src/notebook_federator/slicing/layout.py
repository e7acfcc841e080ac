"""Lays a plan out as text, with sections and a map back to the notebook's lines."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from nbfed_site.contracts import PHASES, LineSpan, Section

from ..analysis import Analysis, Statement
from .narrowing import narrowed
from .plan import Edit, Plan

_HEAD = "# Cut from a notebook by nbfed; manifest.json maps these lines to its cells."


@dataclass(frozen=True, slots=True)
class Layout:
    """The text of a slice, its sections, and where its lines came from."""

    text: str
    sections: tuple[Section, ...]
    spans: tuple[LineSpan, ...]


def lay_out(analysis: Analysis, plan: Plan) -> Layout:
    """The deterministic text of ``plan``: sections in order of phases, cells' own lines verbatim."""
    page = _Page()
    page.add(_HEAD)
    shown = plan.visible
    futures = [i for i in shown if _is_future(analysis.statements[i].node)]
    for index in futures:
        page.statement(analysis, plan, analysis.statements[index])
    sections: list[Section] = []
    for phase in PHASES:
        page.gap(1)
        first = page.next_line
        page.add(f"# %% {phase}")
        if phase == "setup":
            for parameter in sorted(plan.parameters.values(), key=lambda p: p.name):
                page.add(f"{parameter.name} = {parameter.default!r}")
        page.previous = None
        page.lines += plan.before.get(phase, ())
        for index in (i for i in shown if plan.phases[i] == phase and i not in futures):
            page.statement(analysis, plan, analysis.statements[index])
        if after := plan.after.get(phase, ()):
            page.gap(1 if page.previous else 0)
            page.lines += after
        sections.append(Section(phase, first, page.next_line - 1))
    return Layout("\n".join(page.lines) + "\n", tuple(sections), tuple(page.spans))


class _Page:
    """Lines so far, and their origins."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.spans: list[LineSpan] = []
        self.previous: Statement | None = None

    @property
    def next_line(self) -> int:
        return len(self.lines) + 1

    def add(self, line: str) -> None:
        self.lines.append(line)

    def gap(self, count: int) -> None:
        """At least ``count`` empty lines before the next, unless at the top."""
        while self.lines and self.lines[-1] == "":
            self.lines.pop()
        self.lines += [""] * count if self.lines else []

    def statement(self, analysis: Analysis, plan: Plan, statement: Statement) -> None:
        cell, line = statement.place.cell, statement.place.line
        text = narrowed(statement, plan.names.get(statement.index, set()))
        if text is None:
            lines = source_lines(analysis, statement, plan.edits.get(statement.index, ()))
        else:
            lines = [text]
        if self.lines and not self.lines[-1].startswith(("# %%", _HEAD)):
            self.gap(_blank_lines(self.previous, statement))
        self.spans.append(LineSpan(self.next_line, cell, line, len(lines)))
        self.lines += lines
        self.previous = statement


def source_lines(analysis: Analysis, statement: Statement, edits: Sequence[Edit] = ()) -> list[str]:
    """The lines of ``statement`` as its cell has them; a part only where it shares a line with others."""
    place = statement.place
    cell = analysis.notebook.cell(place.cell)
    whole = cell.python.split("\n")
    for edit in sorted(edits, key=lambda e: (e.line, e.column), reverse=True):
        raw = whole[edit.line - 1].encode()
        whole[edit.line - 1] = (raw[: edit.column] + edit.text.encode() + raw[edit.end :]).decode()
    lines = whole[place.line - 1 : place.end_line]
    if _shares(analysis, statement, last=True):
        cut = sum(len(e.text) - (e.end - e.column) for e in edits if e.line == place.end_line)
        lines[-1] = lines[-1][: place.end_column + cut]
    if place.column:
        lines[0] = lines[0][place.column :]
    return [line.rstrip() if "'''" not in line and '"""' not in line else line for line in lines]


def _shares(analysis: Analysis, statement: Statement, *, last: bool) -> bool:
    """Whether another statement stands on the last line of ``statement``, or a ``;`` does."""
    place = statement.place
    line = analysis.notebook.cell(place.cell).python.split("\n")[place.end_line - 1]
    return last and line[place.end_column :].lstrip().startswith(";")


def _blank_lines(before: Statement | None, after: Statement) -> int:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if before is None or isinstance(before.node, kinds) or isinstance(after.node, kinds):
        return 2 if before is not None or isinstance(after.node, kinds) else 1
    together = before.place.cell == after.place.cell and after.place.line - before.place.end_line <= 1
    imports = isinstance(before.node, ast.Import | ast.ImportFrom) and isinstance(
        after.node, ast.Import | ast.ImportFrom
    )
    return 0 if together or imports else 1


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
