"""The whole HTML page: one file that asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from .conduct_section import conduct_section, data_section, provenance_section, release_section
from .data import RunRecord
from .markup import Element, join, tag
from .results_section import confusion_section, curve_section, own_section, section, shared_section
from .tables import Results, Row
from .wording import plural, seconds, size
from .words import Headline

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
CONTENTS = {
    "shared": "Shared test set",
    "own": "Own test sets",
    "curves": "Learning curves",
    "confusion": "Confusion",
    "data": "Data",
    "rounds": "Rounds",
    "releases": "What left",
    "notes": "Notes",
    "methods": "Methods",
    "provenance": "Provenance",
}
METHODS = (
    "Sensitivity TP/(TP+FN), specificity TN/(TN+FP), PPV TP/(TP+FP), NPV TN/(TN+FN), accuracy (correct/all) "
    "and F1 2TP/(2TP+FP+FN) come from confusion counts that each institution observed while the notebook's "
    "own test function ran. A score whose denominator is 0 is undefined and shown as n/a.",
    "Intervals are 95 % score intervals (Wilson, J Am Stat Assoc 1927; 22: 209–212). F1 is no proportion, "
    "but 2J/(1+J) of one, J = TP/(TP+FP+FN); its interval is J's, carried over (Lam, Gopal and Qian, "
    "arXiv:2309.14621, 2023). Means over classes have no interval.",
    "Intervals take samples as independent: where several samples come from one patient, the true "
    "uncertainty is larger. They say nothing of other seeds: another seed gives another model.",
)


def page(results: Results, rows: Sequence[Row], head: Headline, notes: Sequence[str]) -> str:
    """The report as HTML text."""
    record = results.record
    sections = [
        shared_section(results, rows),
        own_section(results, rows),
        curve_section(results),
        confusion_section(results, rows),
        data_section(record),
        conduct_section(record),
        release_section(record),
        _notes_section(notes),
        section("methods", "Methods", [tag("p", text) for text in METHODS]),
        provenance_section(record),
    ]
    present = [item for item in sections if item is not None]
    body = join(_header(record, head, notes), _contents(present), tag("main", present), _footer(record))
    return f"<!DOCTYPE html>\n{tag('html', _head(record, head), tag('body', body), lang='en')}\n"


def _head(record: RunRecord, head: Headline) -> Element:
    css = files(__package__).joinpath("style.css").read_text("utf-8")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{head.finding} – {record.notebook}"),
        tag("style", Element(css)),
    )


def _header(record: RunRecord, head: Headline, notes: Sequence[str]) -> Element:
    pointer = tag("a", f"{plural(len(notes), 'note')} on how far these numbers carry", href="#notes")
    return tag(
        "header",
        tag("p", f"Federation report · {record.notebook}", class_="kicker"),
        tag("h1", head.finding),
        tag("p", head.detail, class_="lead"),
        tag(
            "dl",
            [tag("div", tag("dt", key), tag("dd", value)) for key, value in _figures(record)],
            class_="figures",
        ),
        tag("p", pointer, ".", class_="pointer") if notes else None,
    )


def _figures(record: RunRecord) -> list[tuple[str, str]]:
    """What a reader asks first, as short facts."""
    cards = [site.card for site in record.sites if site.card is not None]
    parts = [part for item in record.rounds for part in item.sites]
    return [
        ("Institutions", f"{len(record.sites)}"),
        ("Training samples", f"{sum(card.samples.get('train', 0) for card in cards):,}"),
        ("Test samples", f"{sum(card.samples.get('test', 0) for card in cards):,}"),
        ("Rounds", f"{len(record.rounds)} of {record.settings.rounds}"),
        ("Training time", seconds(sum(item.seconds for item in record.rounds))),
        ("Traffic", size(sum(part.bytes_down + part.bytes_up for part in parts))),
    ]


def _contents(sections: Sequence[Element]) -> Element:
    shown = [
        (key, title)
        for key, title in CONTENTS.items()
        if any(f'<section id="{key}"' in item for item in sections)
    ]
    return tag("nav", [tag("a", title, href=f"#{key}") for key, title in shown], aria_label="Contents")


def _notes_section(notes: Sequence[str]) -> Element | None:
    if not notes:
        return None
    return section("notes", "Notes", tag("ul", [tag("li", note) for note in notes], class_="notes"))


def _footer(record: RunRecord) -> Element:
    version = record.versions.get("notebook-federator", "")
    return tag(
        "footer",
        tag("p", f"Run {record.run}, {record.finished}. Notebook Federator {version}".rstrip() + "."),
    )
