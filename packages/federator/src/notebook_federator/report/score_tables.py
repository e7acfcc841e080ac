"""Table 2 and its differences as HTML. On narrow screens a row becomes a card, so roles are spelled out."""

from __future__ import annotations

from collections.abc import Sequence

from .markup import Child, Element, tag
from .scores import SCORES, Score
from .tables import TITLES, Difference, Results, Row
from .wording import listed, plural, signed

SCORE_WORDS = (
    "Below each score: its 95 % interval and, for proportions, the samples it counts. "
    "▲: the institution alone is higher than the federation's last model. n/a: undefined (0/0)."
)
BOLD_WORDS = "Bold: the two 95 % intervals do not overlap."
PAIRED_WORDS = (
    "Overlapping intervals do not prove that there is no difference. Both models saw the same samples, but a "
    "paired test (such as McNemar's) needs to know which samples each got right, and only counts leave an "
    "institution."
)


def score_table(rows: Sequence[Row], where: str, results: Results, words: str | None = None) -> Element:
    """Models in rows, the six scores with intervals and counts in columns."""
    reference = next((row for row in rows if row.model == "federation" and not row.missing), None)
    body = [_score_row(row, reference) for row in rows]
    caption = f"{where}: {_support(rows, results)}."
    return _table(caption, ("Model", *(TITLES[name] for name in SCORES)), body, words)


def _support(rows: Sequence[Row], results: Results) -> str:
    row = next((row for row in rows if not row.missing), rows[0])
    if row.confusion is None or results.positive is None:
        return plural(row.num_examples, "sample")
    positive = row.confusion.support()[results.positive]
    return f"{positive:,} positive, {row.num_examples - positive:,} negative"


def _table(
    caption: str, head: Sequence[str], body: Sequence[Element], words: str | None, kind: str = "scores"
) -> Element:
    top = tag("tr", [tag("th", title, scope="col", role="columnheader") for title in head], role="row")
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", top, role="rowgroup"),
        tag("tbody", body, role="rowgroup"),
        class_=kind,
        role="table",
    )
    return tag("div", table, words and tag("p", words, class_="legend-text"), class_="scroll")


def _title(*children: Child) -> Element:
    return tag("th", *children, scope="row", role="rowheader")


def _score_row(row: Row, reference: Row | None) -> Element:
    less = f"{plural(row.num_examples, 'sample')}, without {listed(row.missing)}" if row.missing else None
    cells = [_score_cell(name, score, _is_above(row, name, reference)) for name, score in row.scores.items()]
    class_ = None if row.alone is not None else "ours"
    return tag("tr", _title(row.title, less and tag("small", less)), cells, class_=class_, role="row")


def _is_above(row: Row, name: str, reference: Row | None) -> bool:
    if row.alone is None or reference is None or row.missing:
        return False
    theirs, ours = row.scores[name].value, reference.scores[name].value
    return theirs is not None and ours is not None and theirs > ours


def _score_cell(name: str, score: Score, above: bool = False) -> Element:
    if score.value is None:
        return tag("td", tag("span", "n/a", class_="none"), data_label=TITLES[name], role="cell")
    parts: list[Child] = [tag("b", f"{score.value:.3f}")]
    if above:
        parts.append(tag("span", "▲", class_="up", role="img", aria_label="higher than the federation"))
    if score.low is not None and score.high is not None:
        parts.append(tag("span", f"{score.low:.3f}–{score.high:.3f}", class_="interval"))
    if score.total is not None:
        parts.append(tag("span", f"{score.count:,}/{score.total:,}", class_="count"))
    return tag("td", parts, data_label=TITLES[name], role="cell")


def difference_table(found: Sequence[Difference], where: str, words: str) -> Element | None:
    """Federation minus each institution alone; None where there is nothing to compare."""
    if not found:
        return None
    body = [
        tag("tr", _title(f"{item.site} alone"), [_difference_cell(item, name) for name in SCORES], role="row")
        for item in found
    ]
    head = ("Federation minus", *(TITLES[name] for name in SCORES))
    caption = f"{where}: the federation minus each institution alone."
    return _table(caption, head, body, words, "scores differences")


def _difference_cell(item: Difference, name: str) -> Element:
    value = item.values[name]
    text = tag("b", signed(value)) if name in item.apart else signed(value)
    return tag("td", text, class_=_side(value), data_label=TITLES[name], role="cell")


def _side(value: float | None) -> str | None:
    if value is None:
        return "none"
    if signed(value) == "0.000":
        return None
    return "gain" if value > 0 else "loss"


def class_table(rows: Sequence[Row]) -> Element | None:
    """Scores of each class for the federation, where there is no positive class."""
    federation = next((row for row in rows if row.model == "federation"), None)
    if federation is None or not federation.classes:
        return None
    body = [
        tag("tr", _title(label), [_score_cell(name, scores[name]) for name in SCORES[:-1]], role="row")
        for label, scores in federation.classes.items()
    ]
    head = ("Class", *(TITLES[name] for name in SCORES[:-1]))
    return _table("The federation on the shared test set, each class against the rest.", head, body, None)
