"""Where the round loop writes what happened, and what several of its phases write alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from nbfed_site.contracts import RoundInput, SiteFailure
from nbfed_site.receipts import arrays_digest

from .port import Replied


class Journal(Protocol):
    """Where the round loop writes what happened."""

    def record(self, kind: str, /, **body: Any) -> None:
        """Keep a fact for ever."""

    def tell(self, kind: str, /, **body: Any) -> None:
        """Show a passing state; it need not be kept."""


def record_failure(
    journal: Journal, site: str, task: RoundInput, failure: SiteFailure, refused: Replied | None = None
) -> None:
    """Keep why ``site`` could not do ``task``; of an answer that was ``refused`` also what it was."""
    journal.record(
        "failed",
        site=site,
        round=task.round,
        task=task.kind,
        code=failure.code,
        what=failure.what,
        where=failure.where,
        source_line=failure.source,
        exception=failure.exception,
        hint=failure.hint,
        **(what_came(refused) if refused else {}),
    )


def traffic(reply: Replied) -> dict[str, Any]:
    """What a reply cost, and the site's signed entries about it."""
    return {
        "bytes_down": reply.bytes_down,
        "bytes_up": reply.bytes_up,
        "seconds": {name: round(value, 4) for name, value in reply.output.seconds.items()},
        "elapsed": round(reply.seconds, 4),
        "receipts": receipts(reply),
    }


def what_came(reply: Replied) -> dict[str, Any]:
    """What a reply that is not taken was: the digest of its arrays as they arrived, and its own receipts."""
    arrays = reply.output.arrays
    return {"arrived": "" if arrays is None else arrays_digest(arrays), "receipts": receipts(reply)}


def receipts(reply: Replied) -> list[dict[str, Any]]:
    """The site's signed entries about a reply, for its comparison with them."""
    return [asdict(receipt) for receipt in reply.output.receipts]
