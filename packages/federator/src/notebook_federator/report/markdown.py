"""The report's tables as Markdown, for pull requests and papers' supplements."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .conduct_section import facts
from .data import RunRecord
from .scores import SCORES
from .tables import TITLES, Difference, Results, Row, cell, differences, table
from .wording import signed
from .words import Headline


def markdown(results: Results, rows: Sequence[Row], head: Headline, notes: Sequence[str]) -> str:
    """Headline, Table 2, differences, notes and provenance as Markdown text."""
    lines = [f"# {plain(head.finding)}", "", plain(head.detail), ""]
    for test_set in (None, *results.sites()):
        lines += _score_lines([row for row in rows if row.test_set == test_set], test_set)
    lines += _difference_lines(differences(list(rows), None), "the shared test set")
    own = [item for site in results.sites() for item in differences(list(rows), site) if item.site == site]
    lines += _difference_lines(own, "each institution's own test set")
    if notes:
        lines += ["## Notes", "", *(f"- {plain(note)}" for note in notes), ""]
    lines += _provenance_lines(results.record)
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text that Markdown and HTML take for nothing but text, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", " ".join(text.split()))


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; its cells must be plain already."""
    marks = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(row)} |" for row in (head, marks, *rows)] + [""]


def shared_table(record: RunRecord) -> str:
    """Every model on the shared test set, as one Markdown table."""
    return "\n".join(_score_lines([row for row in table(record) if row.test_set is None], None)).rstrip()


def _score_lines(rows: Sequence[Row], test_set: str | None) -> list[str]:
    if not rows:
        return []
    title = "Shared test set" if test_set is None else f"Test set of {plain(test_set)}"
    head = ["Model", "Samples", *(TITLES[name] for name in SCORES)]
    body = [[plain(row.title), f"{row.num_examples:,}", *map(cell, row.scores.values())] for row in rows]
    return [f"## {title}", "", *grid(head, body)]


def _difference_lines(found: Sequence[Difference], where: str) -> list[str]:
    if not found:
        return []
    head = ["Federation minus", *(TITLES[name] for name in SCORES)]
    body = [
        [
            f"{plain(item.site)} alone",
            *(
                f"**{signed(item.values[name])}**" if name in item.apart else signed(item.values[name])
                for name in SCORES
            ),
        ]
        for item in found
    ]
    return [
        f"## Differences on {where}",
        "",
        *grid(head, body),
        "Bold: the two 95 % intervals do not overlap.",
        "",
    ]


def _provenance_lines(record: RunRecord) -> list[str]:
    lines = ["## Provenance", "", *(f"- {key}: {plain(value)}" for key, value in facts(record))]
    lines += [f"- Digest of {plain(key)}: {plain(value)}" for key, value in record.digests.items()]
    if record.command:
        lines += ["", *(f"    {line}" for line in record.command.splitlines())]
    return [*lines, ""]
