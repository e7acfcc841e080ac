"""Events of a run as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from nbfed_site.contracts import canonical_json

Event = Mapping[str, Any]


def utc_now() -> str:
    """The present UTC time in ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def show(out: TextIO, event: Event) -> None:
    """Write one event as a JSON line, at once."""
    out.write(canonical_json(event).decode() + "\n")
    out.flush()
