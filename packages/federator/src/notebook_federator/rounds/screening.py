"""The server's own look at a reply: a site that was tampered with must not spoil the model or the record."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from nbfed_site.contracts import (
    ArraySpec,
    Receipt,
    ReleaseRefused,
    RoundInput,
    RoundOutput,
    SiteFailure,
    UpdateRefused,
)
from nbfed_site.receipts import arrays_digest
from nbfed_site.release import release

from .attendance import Attendance
from .port import Replied
from .settings import RoundSettings
from .signed import Digested, Evidence, discrepancies

_HINT = "The site should not have sent it: its image may have been changed."
_MOST_SECONDS = 31 * 24 * 3600.0
_PARTS = {"describe": "card", "initialise": "arrays", "train": "arrays", "evaluate": "evaluation"}


@dataclass(slots=True)
class Screening:
    """Says why a reply is not taken.

    Attributes:
        last: the newest receipt known of each site.
        specs: the model's arrays; empty until they are known.
    """

    settings: RoundSettings
    attendance: Attendance
    last: dict[str, Receipt]
    specs: Sequence[ArraySpec] = ()
    _sent: dict[str, str] = field(init=False, default_factory=dict)

    def __call__(self, task: RoundInput, reply: Replied) -> SiteFailure | None:
        """Why ``reply`` is not taken; None where it keeps the rules that every site keeps itself."""
        why = _oddity(reply.output)
        if not why:
            with ThreadPoolExecutor() as pool:
                why = self._breach(task, reply, pool)
        if why:
            return SiteFailure(UpdateRefused.code, f"The server refused it: {why}", hint=_HINT)
        if reply.output.receipts:
            self.last[reply.site] = reply.output.receipts[-1]
        return None

    def remember(self, task: RoundInput) -> None:
        """Keep what is needed to check late answers to ``task``, whose arrays will be gone by then."""
        if self.attendance.orders.keys and self.settings.wire == "fp32":
            self._sent_digest(task)

    def _breach(self, task: RoundInput, reply: Replied, pool: ThreadPoolExecutor) -> str:
        """How a reply breaks the release policy, or belies its receipts; reads each of its arrays once."""
        output, key = reply.output, self.attendance.orders.keys.get(reply.site, "").encode()
        arrays = Digested(output.arrays or {}, pool)
        hashed = bool(key) and self.settings.wire == "fp32"
        unread = output.kind == "canary" or (output.kind == "initialise" and not self.specs)
        try:
            if not unread:
                read = arrays if hashed and output.arrays is not None else output.arrays
                release(replace(output, arrays=read), self.specs, self.settings.policy)
        except ReleaseRefused as error:
            return error.what
        if not key or not (output.receipts or self.settings.signed):
            return ""
        sent = self._sent_digest(task) if hashed else ""
        arrived = arrays.digest if hashed and not unread and output.arrays is not None else ""
        found = discrepancies(output.receipts, task, Evidence(key, self.last.get(reply.site), sent, arrived))
        return f"{'; '.join(found)}." if found else ""

    def _sent_digest(self, task: RoundInput) -> str:
        """Digest of the model that ``task`` carries, made once; empty where it carries none."""
        if task.task_id not in self._sent:
            self._sent[task.task_id] = arrays_digest(task.arrays) if task.arrays is not None else ""
        return self._sent[task.task_id]


def _oddity(output: RoundOutput) -> str:
    """What no honest site sends, although each part of it is what its type says."""
    if any(value < 0 for value in output.seconds.values()):
        return "it took less than no time."
    if any(value > _MOST_SECONDS for value in output.seconds.values()):
        return "it took longer than a month."
    if output.kind == "canary" and "round" not in output.seconds:
        return "the canary does not say how long a round will take."
    part = _PARTS.get(output.kind)
    return f"it holds no {part}." if part is not None and getattr(output, part) is None else ""
