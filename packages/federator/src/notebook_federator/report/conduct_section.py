"""The sections of the page that show data, participation, cost, releases and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .data import Participation, RunRecord, SiteRecord
from .markup import Child, Element, tag
from .results_section import section
from .wording import plural, seconds, short_digest, size

ACTIVITIES = ("prepare", "train", "evaluate")


def simple_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Child]]) -> Element:
    """A table whose first column names the rows."""
    top = tag("tr", [tag("th", title, scope="col") for title in head])
    body = [tag("tr", tag("th", row[0], scope="row"), [tag("td", item) for item in row[1:]]) for row in rows]
    table = tag("table", tag("caption", caption), tag("thead", top), tag("tbody", body), class_="plain")
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption)


def data_section(record: RunRecord) -> Element:
    """Samples per institution, split and class, and what could not be read."""
    classes = _classes(record)
    head = (
        "Institution",
        "Set",
        "Samples",
        *(f"Class {label}" for label in classes),
        "Balance",
        "Unreadable",
    )
    rows = [
        (site.name, split, f"{count:,}", *_class_cells(site, split, classes))
        for site in record.sites
        if site.card is not None
        for split, count in site.card.samples.items()
    ]
    cards = [
        tag("p", f"{site.name} did not describe its data.") for site in record.sites if site.card is None
    ]
    words = "Counted at each institution before round 1; counts are all that left."
    return section(
        "data",
        "Institutions and their data",
        tag("p", words),
        simple_table("Samples by institution, set and class.", head, rows) if rows else None,
        cards,
    )


def _classes(record: RunRecord) -> list[str]:
    """Class labels of all cards, in numeric order where all are numbers."""
    cards = [site.card for site in record.sites if site.card is not None]
    found = list(
        dict.fromkeys(label for card in cards for counts in card.classes.values() for label in counts)
    )
    try:
        return sorted(found, key=float)
    except ValueError:
        return found


def _class_cells(site: SiteRecord, split: str, classes: Sequence[str]) -> list[Child]:
    assert site.card is not None
    counts = site.card.classes.get(split)
    unreadable = f"{site.card.unreadable.get(split, 0):,}"
    if counts is None:
        return [*("–" for _ in classes), "–", unreadable]
    return [*(f"{counts.get(label, 0):,}" for label in classes), _bar(counts, classes), unreadable]


def _bar(counts: Mapping[str, int], classes: Sequence[str]) -> Element:
    total = sum(counts.values()) or 1
    parts = [
        tag("span", class_=f"c{index % 8}", style=f"width:{100 * counts.get(label, 0) / total:.1f}%")
        for index, label in enumerate(classes)
    ]
    return tag("div", parts, class_="bar", aria_hidden="true")


def conduct_section(record: RunRecord) -> Element:
    """Who took part in which round, with seconds and bytes."""
    names = [site.name for site in record.sites]
    rows = [
        (str(item.round), seconds(item.seconds), *(_part_cell(item.sites, name) for name in names))
        for item in record.rounds
    ]
    words = (
        "Seconds run from sending the task to the whole reply; ↓ and ↑ are bytes on the wire. "
        "In the first table, waiting is what they leave beside the site's own work: transfer and queues."
    )
    return section(
        "rounds",
        "Rounds: participation, time and traffic",
        tag("p", words),
        simple_table("Totals by institution.", TOTALS, [_total_row(record, name) for name in names]),
        simple_table("Each round.", ("Round", "Seconds", *names), rows) if rows else None,
        [tag("p", sentence) for sentence in waivers(record)],
    )


def waivers(record: RunRecord) -> list[str]:
    """Whose data was taken although it misses the data contract, and why."""
    return [
        f"The data of {site.name} does not fit the data contract ({' '.join(site.card.unfit)}), "
        f"and was taken all the same: {site.waived}."
        for site in record.sites
        if site.waived and site.card is not None
    ]


TOTALS = ("Institution", "Rounds", "Prepare", "Train", "Evaluate", "Waiting", "Received ↓", "Sent ↑")


def _total_row(record: RunRecord, name: str) -> list[Child]:
    parts = [part for item in record.rounds for part in item.sites if part.site == name]
    used = sum(part.presence == "took part" for part in parts)
    work = {key: sum(part.seconds.get(key, 0.0) for part in parts) for key in ACTIVITIES}
    waits = [part.elapsed - sum(part.seconds.values()) for part in parts if part.elapsed is not None]
    return [
        name,
        f"{used} of {len(record.rounds)}",
        *(seconds(work[key]) for key in ACTIVITIES),
        seconds(max(0.0, sum(waits))),
        size(sum(part.bytes_down for part in parts)),
        size(sum(part.bytes_up for part in parts)),
    ]


def _part_cell(parts: Sequence[Participation], name: str) -> Child:
    part = next((part for part in parts if part.site == name), None)
    if part is None:
        return "–"
    traffic = (
        f"↓ {size(part.bytes_down)} ↑ {size(part.bytes_up)}" if part.bytes_down or part.bytes_up else None
    )
    if part.presence != "took part":
        return [tag("span", part.presence, class_="missed"), tag("small", part.reason), tag("small", traffic)]
    fresh = f"{part.num_examples:,} samples · {seconds(part.elapsed)}" if part.num_examples else None
    late = f"update of an earlier round, weight {part.late_weight:,.4g}" if part.late_weight else None
    took = tag("span", "took part" if fresh else "took part late", class_="took")
    return [took, tag("small", fresh), tag("small", late), tag("small", traffic)]


def release_section(record: RunRecord) -> Element | None:
    """What left each institution, from its own receipts."""
    sites = [site for site in record.sites if site.receipts is not None]
    if not sites:
        return None
    head = (
        "Institution",
        "Tasks in",
        "Outputs out",
        "Held back",
        "Arrays in",
        "Arrays out",
        "Scalars that left",
        "Chain head",
    )
    return section(
        "releases",
        "What left each institution",
        tag("p", RELEASE_WORDS),
        simple_table(
            "From each institution's own chain of receipts.", head, [_receipt_row(site) for site in sites]
        ),
    )


RELEASE_WORDS = (
    "Each institution lets out the model's arrays, the scalars named here, and counts (samples, classes, "
    "confusion); anything else is refused there. Its receipts are chained by hashes: comparing the head with "
    "the institution's own file shows that none was changed."
)


def _receipt_row(site: SiteRecord) -> list[Child]:
    receipts = site.receipts
    assert receipts is not None
    return [
        site.name,
        f"{receipts.received:,}",
        f"{receipts.released:,}",
        f"{receipts.refused:,}",
        size(receipts.bytes_in),
        size(receipts.bytes_out),
        ", ".join(receipts.metrics) or "none",
        tag("code", short_digest(receipts.head) or "–"),
    ]


def provenance_section(record: RunRecord) -> Element:
    """Digests, versions, settings and the command that repeats the run."""
    return section(
        "provenance",
        "Provenance",
        tag("dl", [(tag("dt", key), tag("dd", value)) for key, value in facts(record)], class_="facts"),
        tag("h3", "Digests"),
        tag(
            "dl",
            [(tag("dt", key), tag("dd", tag("code", value))) for key, value in record.digests.items()],
            class_="facts",
        ),
        [tag("h3", "To repeat"), tag("pre", tag("code", record.command))] if record.command else None,
    )


def facts(record: RunRecord) -> list[tuple[str, str]]:
    """What was declared and what ran, by name."""
    settings = record.settings
    numbers = [f"{key} {value}" for key, value in settings.strategy.items() if key != "name"]
    deadline = "from canary rounds" if settings.deadline is None else seconds(settings.deadline)
    return [
        ("Run", record.run),
        ("Notebook", record.notebook),
        ("Outcome", record.state),
        ("Started", record.started),
        ("Finished", record.finished),
        ("Strategy", ", ".join([str(settings.strategy.get("name", "–")), *numbers])),
        ("Rounds", f"{len(record.rounds)} of {settings.rounds}"),
        ("Epochs per round", f"{settings.epochs}"),
        ("Quorum", _quorum(settings.quorum)),
        ("Deadline per round", deadline),
        ("Stragglers", settings.stragglers),
        ("Seed", f"{settings.seed}"),
        ("Wire", settings.wire),
        ("Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items()) or "–"),
    ]


def _quorum(text: str) -> str:
    return f"{text} of the institutions" if text.endswith("%") else plural(int(text), "institution")
