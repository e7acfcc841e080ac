"""Inline SVG: intervals per institution (a forest plot), curves per round; colours are in the style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from .curves import Curve, Line
from .markup import Element, join, tag
from .tables import TITLES, Row, cell

WIDTH = 320.0
ROW = 24.0
LABEL = 104.0
RIGHT = 44.0
COLOURS = 8


def forest(rows: Sequence[Row], name: str, low: float) -> Element:
    """Values and 95 % intervals of one score, one line per model, on an axis from ``low`` to 1."""
    height = ROW * len(rows) + 30
    axis = _scale(low, 1.0, LABEL + 8, WIDTH - RIGHT - 8)
    bottom = ROW * len(rows) + 6
    reference = next((row.scores[name].value for row in rows if row.model == "federation"), None)
    described = "; ".join(f"{row.title} {cell(row.scores[name])}" for row in rows)
    return tag(
        "svg",
        _ticks(low, axis, bottom),
        _reference(reference, axis, bottom),
        [_forest_row(row, name, axis, ROW * index + ROW / 2 + 3) for index, row in enumerate(rows)],
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        role="img",
        aria_label=f"{TITLES[name]} with 95 % intervals. {described}.",
    )


def lowest(rows: Sequence[Row], names: Sequence[str]) -> float:
    """Where the axes of all panels begin: the lowest interval end, down to the next tenth."""
    ends = [row.scores[name].low for row in rows for name in names]
    values = [row.scores[name].value for row in rows for name in names]
    known = [end for end in (*ends, *values) if end is not None]
    return min(0.9, math.floor(min(known, default=0.0) * 10 + 1e-9) / 10)


def _scale(low: float, high: float, start: float, end: float) -> tuple[float, float, float]:
    return low, (end - start) / (high - low), start


def _at(axis: tuple[float, float, float], value: float) -> float:
    low, factor, start = axis
    return start + (value - low) * factor


def _ticks(low: float, axis: tuple[float, float, float], bottom: float) -> Iterator[Element]:
    count = 4 if low <= 0.6 else 2
    for value in (low + (1 - low) * index / count for index in range(count + 1)):
        x = _at(axis, value)
        yield tag("line", x1=x, x2=x, y1=2.0, y2=bottom, class_="grid")
        label = f"{value:.2f}".rstrip("0").rstrip(".")
        yield tag("text", label or "0", x=x, y=bottom + 15, class_="tick", text_anchor="middle")


def _reference(value: float | None, axis: tuple[float, float, float], bottom: float) -> Element | None:
    if value is None:
        return None
    x = _at(axis, value)
    return tag("line", x1=x, x2=x, y1=2.0, y2=bottom, class_="reference")


def _forest_row(row: Row, name: str, axis: tuple[float, float, float], y: float) -> Element:
    score, ours = row.scores[name], row.alone is None
    parts = [
        tag("title", f"{row.title}: {cell(score)}"),
        tag("text", _cut(row.short, 16), x=LABEL - 4, y=y + 4, class_="label", text_anchor="end"),
    ]
    if score.value is None:
        parts.append(tag("text", "n/a", x=WIDTH - 2, y=y + 4, class_="value", text_anchor="end"))
        return tag("g", parts, class_="ours" if ours else "theirs")
    x = _at(axis, score.value)
    if score.low is not None and score.high is not None:
        parts.append(
            tag("line", x1=_at(axis, score.low), x2=_at(axis, score.high), y1=y, y2=y, class_="interval")
        )
    shape = f"M{x:.2f} {y - 6:.2f}l6 6-6 6-6-6z" if ours else f"M{x - 4:.2f} {y - 4:.2f}h8v8h-8z"
    parts.append(tag("path", d=shape, class_="mark"))
    parts.append(tag("text", f"{score.value:.3f}", x=WIDTH - 2, y=y + 4, class_="value", text_anchor="end"))
    return tag("g", parts, class_="ours" if ours else "theirs")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def curve(panel: Curve, rounds: int, best: int | None) -> Element:
    """One quantity by round: thin lines per site, the thick one over all test sets together."""
    height, top, bottom, left, right = 190.0, 10.0, 162.0, 40.0, WIDTH - 10
    values = [value for line in panel.lines for _, value in line.points]
    low, high = _range(values, bounded=panel.name != "loss")
    x_axis = _scale(0.0, float(max(rounds, 1)), left, right)
    y_axis = (low, -(bottom - top) / (high - low), bottom)
    last = "; ".join(
        f"{'all test sets' if line.site is None else line.site} {line.points[-1][1]:.3f}"
        for line in panel.lines
        if line.points
    )
    return tag(
        "svg",
        _y_ticks(low, high, y_axis, left, right),
        _x_ticks(rounds, x_axis, bottom),
        None if best is None else _best_mark(_at(x_axis, float(best)), top, bottom),
        [_polyline(line, index, x_axis, y_axis) for index, line in enumerate(panel.lines)],
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        role="img",
        aria_label=f"{panel.title} by round. After the last round: {last}.",
    )


def _range(values: Sequence[float], bounded: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    step = _step(max(high - low, 0.02 if bounded else 1e-6 + abs(high) * 0.02))
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    if low == high:
        low, high = low - step, high + step
    return (max(low, 0.0), min(high, 1.0)) if bounded else (low, high)


def _step(span: float) -> float:
    """A round number that divides ``span`` into at most five."""
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= span * 0.999)


def _y_ticks(
    low: float, high: float, axis: tuple[float, float, float], left: float, right: float
) -> Iterator[Element]:
    step = _step(high - low)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        y = _at(axis, value)
        yield tag("line", x1=left, x2=right, y1=y, y2=y, class_="grid")
        yield tag("text", f"{value:.{digits}f}", x=left - 6, y=y + 4, class_="tick", text_anchor="end")


def _x_ticks(rounds: int, axis: tuple[float, float, float], bottom: float) -> Iterator[Element]:
    step = max(1, math.ceil(_step(float(max(rounds, 1)))))
    for value in range(0, rounds + 1, step):
        x = _at(axis, float(value))
        yield tag("text", str(value), x=x, y=bottom + 17, class_="tick", text_anchor="middle")


def _best_mark(x: float, top: float, bottom: float) -> Element:
    line = tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="reference")
    return tag("g", tag("title", "best round"), line)


def _polyline(
    line: Line, index: int, x_axis: tuple[float, float, float], y_axis: tuple[float, float, float]
) -> Element | None:
    if not line.points:
        return None
    places = [(_at(x_axis, float(number)), _at(y_axis, value)) for number, value in line.points]
    joined = [number - before > 1 for (before, _), (number, _) in pairwise(line.points)]
    path = "".join(
        f"{'M' if start else 'L'}{x:.2f} {y:.2f}"
        for (x, y), start in zip(places, [True, *joined], strict=True)
    )
    x, y = places[-1]
    title = tag("title", "all test sets together" if line.site is None else line.site)
    end = tag("circle", cx=x, cy=y, r=3.5 if line.site is None else 2.5, class_="end")
    return tag("g", title, tag("path", d=path, class_="curve"), end, class_=line_class(line, index))


def line_class(line: Line, index: int) -> str:
    """The colour and dash class of a line."""
    return "all" if line.site is None else f"site s{index % COLOURS}"


def legend(lines: Sequence[Line], best: int | None) -> Element:
    """What the lines of all panels are."""
    keys = [
        _key(line_class(line, index), "all test sets together" if line.site is None else line.site)
        for index, line in enumerate(lines)
    ]
    mark = None if best is None else _key("best", f"best round ({best})")
    return tag("ul", keys, mark, class_="legend")


def _key(class_: str, text: str) -> Element:
    line = tag("line", x1=1, x2=25, y1=6, y2=6, class_="reference" if class_ == "best" else "curve")
    swatch = tag("svg", tag("g", line, class_=class_), viewBox="0 0 26 12", class_="key", aria_hidden="true")
    return tag("li", swatch, join(text))
