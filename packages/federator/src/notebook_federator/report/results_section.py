"""The sections of the page that show what the models do on the test sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .charts import curve, forest, legend, lowest
from .curves import curves
from .markup import Child, Element, tag
from .score_tables import (
    BOLD_WORDS,
    PAIRED_WORDS,
    SCORE_WORDS,
    class_table,
    difference_table,
    score_table,
)
from .scores import Confusion
from .tables import TITLES, Results, Row, differences, rows_on
from .wording import plural

FOREST = ("accuracy", "f1", "sensitivity", "specificity", "ppv", "npv")


def section(identity: str, title: str, *children: Child) -> Element:
    """One part of the page, with its heading."""
    heading = tag("h2", title, id=f"{identity}-title")
    return tag("section", heading, *children, id=identity, aria_labelledby=f"{identity}-title")


def shared_section(results: Results, rows: Sequence[Row]) -> Element:
    """Table 2 on the shared test set, its intervals as figures, and the differences."""
    here = [row for row in rows if row.test_set is None]
    if not here:
        return section("shared", "Results on the shared test set", tag("p", "No model was evaluated."))
    return section(
        "shared",
        "Results on the shared test set",
        tag("p", _shared_words(results, here)),
        score_table(here, "All institutions' test sets together", results, SCORE_WORDS),
        _forests(here),
        difference_table(differences(here, None), "Shared test set", f"{BOLD_WORDS} {PAIRED_WORDS}"),
        class_table(here),
    )


def _shared_words(results: Results, rows: Sequence[Row]) -> str:
    count = max(row.num_examples for row in rows)
    sets = plural(len(results.sites()), "institution's test set", "institutions' test sets")
    if results.positive is not None:
        kind = f"Positive means class {results.positive}."
    elif results.labels:
        kind = f"Scores are means over the {len(results.labels)} classes, each against the rest."
    else:
        kind = ""
    return (
        f"The shared test set is {sets} together, {plural(count, 'sample')}. Each institution counted on its "
        f"own samples and the counts were added up: the result is exact, and no sample moved. {kind}"
    ).strip()


def _forests(rows: Sequence[Row]) -> Element | None:
    names = [name for name in FOREST if any(row.scores[name].value is not None for row in rows)]
    if not names:
        return None
    low = lowest(rows, names)
    panels = [tag("div", tag("h3", TITLES[name]), forest(rows, name, low)) for name in names]
    words = (
        "Squares: institutions alone. Diamonds: the federation. Lines: 95 % intervals. Dashed: the "
        f"federation's value. All axes run from {low:.1f} to 1."
    )
    return tag("figure", tag("div", panels, class_="panels"), tag("figcaption", words))


def own_section(results: Results, rows: Sequence[Row]) -> Element | None:
    """Every model on each institution's own test set, and what joining changed there."""
    if not results.sites():
        return None
    own = [item for site in results.sites() for item in differences(list(rows), site) if item.site == site]
    tables = [score_table(rows_on(results, site), f"Test set of {site}", results) for site in results.sites()]
    words = "The first table says what joining changed for each institution's own patients."
    return section(
        "own",
        "Results on each institution's own test set",
        tag("p", words) if own else None,
        difference_table(own, "Each institution's own test set", BOLD_WORDS),
        tables,
    )


def curve_section(results: Results) -> Element | None:
    """Loss and scores of the federation's model after each round."""
    panels = curves(results)
    if not panels:
        return None
    rounds, best = max(results.rounds(None)), results.record.best_round
    figures = [tag("div", tag("h3", panel.title), curve(panel, rounds, best)) for panel in panels]
    key = tag("div", legend(panels[0].lines, best), class_="key-panel")
    words = (
        "The federation's model after each round (0: before training), on each institution's test set and on "
        "all together."
    )
    body = tag("figure", tag("div", figures, key, class_="panels"), tag("figcaption", words))
    return section("curves", "Learning curves", body)


def confusion_section(results: Results, rows: Sequence[Row]) -> Element | None:
    """Confusion counts on the shared test set, and the federation's on each site's own."""
    shared = [row for row in rows if row.test_set is None and row.confusion is not None]
    own = [row for row in rows if row.test_set is not None and row.model == "federation" and row.confusion]
    if not shared and not own:
        return None
    return section(
        "confusion",
        "Confusion matrices",
        tag("p", "Rows: the true class. Columns: the model's answer. Shade: share of the true class."),
        tag("h3", "On the shared test set"),
        tag(
            "div", [_matrix(row, row.title if row.alone else row.short) for row in shared], class_="matrices"
        ),
        tag("h3", "The federation, on each institution's own test set"),
        tag("div", [_matrix(row, row.test_set or "") for row in own], class_="matrices"),
    )


def _matrix(row: Row, title: str) -> Element:
    confusion = row.confusion or Confusion((), ())
    corner = tag("td", "true \\ answer", class_="corner")
    head = tag("tr", corner, [tag("th", label, scope="col") for label in confusion.labels])
    body = [
        tag("tr", tag("th", label, scope="row"), list(_matrix_cells(counts)))
        for label, counts in zip(confusion.labels, confusion.counts, strict=True)
    ]
    return tag("table", tag("caption", title), tag("thead", head), tag("tbody", body), class_="matrix")


def _matrix_cells(counts: Sequence[int]) -> Iterator[Element]:
    total = sum(counts)
    for count in counts:
        share = count / total if total else 0.0
        yield tag("td", f"{count:,}", style=f"--share:{share:.2f}")
