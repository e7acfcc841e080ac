"""Whether a site's signed receipts bear out what it sent: pure, but for the hashing of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from nbfed_site.contracts import Array, Arrays, Receipt, RoundInput
from nbfed_site.receipts import array_summary, is_sound, summaries_digest

_NOT_TAKEN = ("failed", "late")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a reply apart from its receipts.

    Attributes:
        key: the site's public key, PEM.
        last: the newest receipt of this site that was seen before.
        sent: digest of the model that the task carried; empty where it cannot be compared.
        arrived: digest of the arrays that came back; empty where it cannot be compared.
    """

    key: bytes
    last: Receipt | None
    sent: str
    arrived: str


def discrepancies(receipts: tuple[Receipt, ...], task: RoundInput, evidence: Evidence) -> list[str]:
    """What the receipts of a reply to ``task`` do not bear out; empty where all is well.

    There may be entries between those of two replies: about tasks whose reply was lost on its way.
    """
    if not receipts:
        return ["it holds no receipts"]
    if not all(is_sound(receipt, evidence.key) for receipt in receipts):
        return ["its receipts are not signed with this site's key"]
    return [
        *_about(receipts, task),
        *_out_of_order(receipts, evidence),
        *_other_arrays(receipts, evidence),
    ]


def _about(receipts: tuple[Receipt, ...], task: RoundInput) -> Iterator[str]:
    name = (task.task_id, task.kind, task.round)
    if any((item.task_id, item.kind, item.round) != name for item in receipts):
        yield "its receipts are about another task"
    if (receipts[0].event, receipts[-1].event) != ("received", "released"):
        yield "its receipts do not say that the task was received and the answer released"


def _out_of_order(receipts: tuple[Receipt, ...], evidence: Evidence) -> Iterator[str]:
    """A chain that goes back or forks: an older answer again, or a record that was rewritten."""
    before = evidence.last
    if before is not None and not is_sound(before, evidence.key):
        before = None  # the site has joined anew, with another key and a record of its own
    for receipt in receipts:
        if before is not None:
            if receipt.sequence <= before.sequence:
                yield f"its receipt {receipt.sequence} comes after receipt {before.sequence}"
            elif receipt.sequence == before.sequence + 1 and receipt.previous != before.hash:
                yield f"its receipt {receipt.sequence} does not follow receipt {before.sequence}"
        before = receipt


def _other_arrays(receipts: tuple[Receipt, ...], evidence: Evidence) -> Iterator[str]:
    if evidence.sent and receipts[0].arrays_digest != evidence.sent:
        yield "the site received another model than was sent"
    if evidence.arrived and receipts[-1].arrays_digest != evidence.arrived:
        yield "other arrays arrived than the site released"


def newest_receipts(record: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Receipt]:
    """The last receipt of each site in a run's record, given as kind and body of its entries in order.

    Those of answers that were not taken do not count: nobody has checked them.
    """
    found: dict[str, Receipt] = {}
    for kind, body in record:
        for value in body.get("receipts", ()) if kind not in _NOT_TAKEN else ():
            found[body["site"]] = Receipt(**value)
    return found


class Digested(Mapping[str, Array]):
    """Arrays whose digest is made as they are read, so that they are read once for all purposes."""

    def __init__(self, arrays: Arrays, pool: Executor) -> None:
        self._arrays, self._pool = arrays, pool
        self._summaries: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> Array:
        array = self._arrays[name]
        if name not in self._summaries:
            self._summaries[name] = array_summary(name, array, self._pool)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def digest(self) -> str:
        """Of all arrays; each must have been read."""
        return summaries_digest([self._summaries[name] for name in self])
