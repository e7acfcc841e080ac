"""What a split came to: counts per site and set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .manifest import SetName

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class SplitRow:
    """One set of one site: patches per class, what the proportions asked for, and patients (None
    where no patch of the set names one)."""

    site: str
    set: SetName
    counts: Mapping[str, int]
    wanted: Mapping[str, float]
    patients: int | None


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """What ``split`` made; ``sites`` maps a site's name to its folder."""

    destination: Path
    seed: int
    sites: Mapping[str, Path]
    rows: tuple[SplitRow, ...]
    notes: tuple[str, ...]

    def text(self) -> str:
        """The counts as an aligned table, with the notes below it."""
        labels = sorted({label for row in self.rows for label in row.counts})
        head = ["site", "set", *(f"class {label}" for label in labels), "patients"]
        body = [
            [
                row.site,
                row.set,
                *(str(row.counts.get(label, 0)) for label in labels),
                str(row.patients or "n/a"),
            ]
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in (head, *body)
        ]
        return "\n".join(
            [f"Wrote {len(self.sites)} site folders to {self.destination}.", *lines, *self.notes]
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without paths of this machine."""
        return {
            "schema_version": SCHEMA_VERSION,
            "seed": self.seed,
            "sites": [
                {
                    "site": row.site,
                    "set": row.set,
                    "counts": dict(row.counts),
                    "wanted": {label: round(count, 1) for label, count in row.wanted.items()},
                    "patients": row.patients,
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }
