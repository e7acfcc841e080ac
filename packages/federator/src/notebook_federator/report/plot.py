"""The report's main figures for notebooks, as one matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .charts import lowest
from .curves import Curve, curves
from .data import RunRecord
from .tables import TITLES, Row, results_of, rows_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, THEIRS, QUIET = "#0b6e69", "#5b6470", "#c9ced6"
FOREST = ("accuracy", "f1", "sensitivity")


def plot(record: RunRecord) -> Figure:
    """Accuracy, F1 and sensitivity with 95 % intervals on the shared test set; below, curves by round.

    Raises:
        SettingsInvalid: the record names a positive class that no evaluation knows.
    """
    from matplotlib.figure import Figure

    results = results_of(record)
    rows, panels = rows_on(results, None), curves(results)[:3]
    figure = Figure(figsize=(11, 2.2 + 0.3 * len(rows) + 2.4 * bool(panels)), layout="constrained")
    heights = [1.0 + 0.3 * len(rows), 2.4] if panels else [1.0]
    axes = figure.subplots(len(heights), 3, squeeze=False, height_ratios=heights)
    low = lowest(rows, FOREST)
    for index, (axis, name) in enumerate(zip(axes[0], FOREST, strict=True)):
        _forest(axis, rows, name, named=index == 0)
        axis.set_xlim(low, 1.02)
    for axis, panel in zip(axes[1] if panels else [], panels, strict=False):
        _curve(axis, panel)
    for axis in axes[1][len(panels) :] if panels else []:
        axis.set_visible(False)
    if panels:
        figure.legend(
            *axes[1][0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False
        )
    return figure


def _forest(axis: Axes, rows: Sequence[Row], name: str, named: bool) -> None:
    for place, row in enumerate(rows):
        score, ours = row.scores[name], row.alone is None
        colour = OURS if ours else THEIRS
        if score.value is None:
            axis.annotate("n/a", (0.02, place), xycoords=("axes fraction", "data"), va="center", color=colour)
            continue
        if score.low is not None and score.high is not None:
            axis.plot([score.low, score.high], [place, place], color=colour, linewidth=2)
        axis.plot([score.value], [place], marker="D" if ours else "s", color=colour)
    axis.set_yticks(range(len(rows)), [row.title if named else "" for row in rows])
    axis.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axis.set_title(f"{TITLES[name]}, shared test set", fontsize=10)
    _calm(axis)


def _curve(axis: Axes, panel: Curve) -> None:
    for line in panel.lines:
        together = line.site is None
        axis.plot(
            [number for number, _ in line.points],
            [value for _, value in line.points],
            label="all test sets" if line.site is None else line.site,
            color=OURS if together else None,
            linewidth=2.6 if together else 1.2,
            zorder=3 if together else 2,
        )
    from matplotlib.ticker import MaxNLocator

    axis.set_title(f"{panel.title} by round", fontsize=10)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    _calm(axis)


def _calm(axis: Axes) -> None:
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.grid(color=QUIET, linewidth=0.5)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
