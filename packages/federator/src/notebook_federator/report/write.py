"""From a run record to three files: HTML, Markdown and the JSON behind both."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nbfed_site.contracts import StorageFull

from .data import RunRecord
from .markdown import markdown
from .page import page
from .tables import Difference, Row, differences, results_of, table
from .words import headline, notes


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report was written."""

    html: Path
    markdown: Path
    json: Path


def write_report(record: RunRecord, folder: Path) -> ReportFiles:
    """Write ``report.html``, ``report.md`` and ``report.json``; the same record gives the same bytes.

    Raises:
        SettingsInvalid: the record names a positive class that no evaluation knows.
        StorageFull: the disk has no room.
    """
    results, rows = results_of(record), table(record)
    head = headline(record, [row for row in rows if row.test_set is None])
    said = notes(results, rows)
    made = ReportFiles(folder / "report.html", folder / "report.md", folder / "report.json")
    document = {
        "schema_version": 1,
        "headline": asdict(head),
        "notes": said,
        "positive": results.positive,
        "labels": list(results.labels),
        "rows": [row_json(row) for row in rows],
        "differences": [
            _difference_json(item) for site in (None, *results.sites()) for item in differences(rows, site)
        ],
        "record": record.to_json(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(made.html, page(results, rows, head, said))
    _write(made.markdown, markdown(results, rows, head, said))
    _write(made.json, json.dumps(_finite(document), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return made


def row_json(row: Row) -> dict[str, Any]:
    """A row as plain JSON values."""
    confusion = row.confusion
    return {
        "test_set": row.test_set,
        "model": row.model,
        "alone": row.alone,
        "round": row.round,
        "num_examples": row.num_examples,
        "scores": {name: asdict(score) for name, score in row.scores.items()},
        "confusion": None if confusion is None else [list(counts) for counts in confusion.counts],
        "classes": {
            label: {name: asdict(score) for name, score in scores.items()}
            for label, scores in row.classes.items()
        },
        "missing": list(row.missing),
    }


def _difference_json(item: Difference) -> dict[str, Any]:
    return {
        "federation_minus": item.site,
        "test_set": item.test_set,
        "values": dict(item.values),
        "intervals_apart": list(item.apart),
    }


def _finite(value: Any) -> Any:
    """``value`` with numbers that JSON does not have (NaN, infinity) as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _write(path: Path, text: str) -> None:
    """Write through a neighbour file, so that a reader never sees half a report."""
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_bytes(text.encode("utf-8", "replace"))
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise StorageFull(
            "No room for the report.", where=str(path), hint="Free disk space there."
        ) from error
