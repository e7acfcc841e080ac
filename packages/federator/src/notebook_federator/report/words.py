"""The finding in one sentence, and what a reader must know before trusting the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .conduct_section import waivers
from .data import RunRecord
from .scores import Confusion
from .tables import Results, Row, cell, disjoint
from .wording import listed, plural, ranges

SMALL = 30


@dataclass(frozen=True, slots=True)
class Headline:
    """``finding`` is one sentence without a full stop; ``detail`` a short paragraph."""

    finding: str
    detail: str


def headline(record: RunRecord, shared: Sequence[Row]) -> Headline:
    """Say plainly whether the federation or an institution alone did better on the shared test set."""
    federation = next((row for row in shared if row.model == "federation" and not row.missing), None)
    alone = [row for row in shared if row.model == "alone" and not row.missing]
    if federation is None or federation.scores["accuracy"].value is None:
        return Headline(_unfinished(record) or "No accuracy was recorded", _progress(record))
    finding = _unfinished(record) or _finding(federation, alone)
    return Headline(finding, " ".join(_detail(federation, alone)))


def _unfinished(record: RunRecord) -> str:
    if record.state == "completed":
        return ""
    return f"The run {record.state} after {len(record.rounds)} of {plural(record.settings.rounds, 'round')}"


def _progress(record: RunRecord) -> str:
    done = plural(len(record.rounds), "round")
    return f"{done} of {record.settings.rounds} with {plural(len(record.sites), 'institution')}."


def _accuracy(row: Row) -> float:
    return row.scores["accuracy"].value or 0.0


def _best(alone: Sequence[Row]) -> list[Row]:
    known = [row for row in alone if row.scores["accuracy"].value is not None]
    top = max(map(_accuracy, known), default=0.0)
    return [row for row in known if _accuracy(row) == top]


def _finding(federation: Row, alone: Sequence[Row]) -> str:
    best = _best(alone)
    if not best:
        return f"The federation reached an accuracy of {_accuracy(federation):.3f} on the shared test set"
    who = listed([row.alone or "" for row in best])
    if _accuracy(best[0]) > _accuracy(federation):
        return f"The federation was less accurate than {who} alone"
    if _accuracy(best[0]) == _accuracy(federation):
        return f"The federation was exactly as accurate as {who} alone"
    if len(alone) == 1:
        return f"The federation was more accurate than {who} alone"
    return f"The federation was more accurate than each of the {len(alone)} institutions alone"


def _detail(federation: Row, alone: Sequence[Row]) -> Iterator[str]:
    score = federation.scores["accuracy"]
    counts = "'s" if score.count is None else f" classified {score.count:,} correctly:"
    yield (
        f"Of the {plural(federation.num_examples, 'sample')} in the shared test set, the federation{counts} "
        f"accuracy {cell(score, '95 % interval ')}."
    )
    values = sorted(_accuracy(row) for row in alone if row.scores["accuracy"].value is not None)
    if len(values) > 1:
        yield f"The institutions alone reached {values[0]:.3f} to {values[-1]:.3f}."
    elif values:
        yield f"{alone[0].alone} alone reached {values[0]:.3f}."
    best = _best(alone)
    if (
        best
        and _accuracy(best[0]) != _accuracy(federation)
        and not any(disjoint(score, row.scores["accuracy"]) for row in best)
    ):
        names = listed(["the federation", *(f"{row.alone} alone" for row in best)])
        yield f"The 95 % intervals of {names} overlap: the difference between them may be chance."
    if federation.confusion is not None and federation.confusion.total:
        most = max(federation.confusion.support().values()) / federation.confusion.total
        yield f"Always answering the most frequent class would give {most:.3f}."


def notes(results: Results, rows: Sequence[Row]) -> list[str]:
    """Plain sentences about the run, the data, participation and evaluation; each once, in that order."""
    record = results.record
    found = [
        *_run_notes(record),
        *_data_notes(record),
        *_participation_notes(record),
        *_evaluation_notes(results, rows),
    ]
    return list(dict.fromkeys(found))


def _run_notes(record: RunRecord) -> Iterator[str]:
    settings, done = record.settings, len(record.rounds)
    if record.state != "completed":
        yield f"The run {record.state}: {done} of {plural(settings.rounds, 'planned round')} were done."
    yield from record.warnings
    yield from (f"Round {item.round}: {item.note}." for item in record.rounds if item.note)
    if record.alone_epochs is not None and record.alone_epochs != settings.epochs * done:
        yield (
            f"The institutions alone were trained for {plural(record.alone_epochs, 'epoch')}, the federation "
            f"for {done} × {settings.epochs}: the comparison is not on equal terms."
        )
    if record.best_round is not None:
        yield from _best_notes(record, record.best_round)


def _best_notes(record: RunRecord, best: int) -> Iterator[str]:
    how = record.settings.best_by
    yield f"Round {best} was the best{f' by {how}' if how else ''}; the comparison uses the last round."
    if "validation" not in how:
        yield "The best round was chosen by looking at the test sets themselves: its scores are optimistic."


def _data_notes(record: RunRecord) -> Iterator[str]:
    for site in record.sites:
        if site.card is None:
            yield f"{site.name} never described its data."
            continue
        for split, count in site.card.unreadable.items():
            if count:
                yield f"{site.name}: {plural(count, 'sample')} of {split} could not be read."
        yield from (f"{site.name}: {warning.rstrip('.')}." for warning in site.card.warnings)
    yield from waivers(record)


def _participation_notes(record: RunRecord) -> Iterator[str]:
    for site in record.sites:
        missed = [
            (item.round, part.presence)
            for item in record.rounds
            for part in item.sites
            if part.site == site.name and part.presence != "took part"
        ]
        if missed:
            why = listed(list(dict.fromkeys(presence for _, presence in missed)))
            numbers = ranges([number for number, _ in missed])
            rounds = "round" if len(missed) == 1 else "rounds"
            yield f"{site.name} is not in the model of {rounds} {numbers} ({why})."
        if site.receipts is not None and site.receipts.refused:
            yield f"{site.name} held back {plural(site.receipts.refused, 'output')} by its release policy."


def _evaluation_notes(results: Results, rows: Sequence[Row]) -> Iterator[str]:
    lacking = [site.name for site in results.record.sites if site.name not in results.sites()]
    if lacking:
        names = listed(lacking)
        yield f"The shared test set lacks {names}: the federation's last model was not evaluated there."
    for row in rows:
        if row.missing:
            yield (
                f"{row.title} was not evaluated at {listed(row.missing)}, so its line on the shared test set "
                "cannot be compared with the others."
            )
        if row.confusion is None and row.model == "federation":
            yield (
                f"{_set_name(row)}: the confusion counts could not be observed; only the accuracy that the "
                "notebook's own test function returned is known."
            )
        yield from _support_notes(row)
    for item in results.record.evaluations:
        whose = "The federation" if item.alone is None else f"{item.alone} alone"
        yield from (f"{whose} at {item.site}: {text.rstrip('.')}." for text in item.evaluation.warnings)
    yield from _degenerate_notes(rows)


def _set_name(row: Row) -> str:
    return "The shared test set" if row.test_set is None else f"The test set of {row.test_set}"


def _support_notes(row: Row) -> Iterator[str]:
    if row.confusion is None or row.model != "federation":
        return
    support = row.confusion.support()
    present = [label for label, count in support.items() if count]
    if len(present) == 1:
        yield f"{_set_name(row)} holds class {present[0]} only: scores of other classes are undefined (n/a)."
    few = [f"{count} of class {label}" for label, count in support.items() if 0 < count < SMALL]
    if few:
        yield f"{_set_name(row)} has only {listed(few)}: scores on fewer than {SMALL} samples say little."


def _degenerate_notes(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.test_set is None and row.confusion is not None:
            label = _only_answer(row.confusion)
            if label is not None:
                yield f"{row.title} answered class {label} for every sample of the shared test set."


def _only_answer(confusion: Confusion) -> str | None:
    columns = [sum(column) for column in zip(*confusion.counts, strict=True)]
    used = [label for label, count in zip(confusion.labels, columns, strict=True) if count]
    return used[0] if len(used) == 1 and len(confusion.labels) > 1 else None
