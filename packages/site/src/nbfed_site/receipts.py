"""A site's own record of what came in and what left: each entry signed, and chained to the one before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from .contracts import (
    Array,
    Arrays,
    LedgerBroken,
    Receipt,
    RoundInput,
    StorageFull,
    canonical_json,
    json_digest,
)
from .contracts.policy import ReceiptEvent
from .keys import is_signed

_FIRST = "sha256:" + "0" * 64
_CHUNK = 8 << 20

Details = Mapping[str, str | int | float]


class Receipts:
    """An append-only file of receipts, one canonical JSON object per line.

    A last line that a power cut left unfinished is cut off; any other damage is refused.

    Args:
        sign: gives the signature of an entry's hash; without it entries stay unsigned.

    Raises:
        LedgerBroken: the file's chain does not hold.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sign: Callable[[str], str] = lambda text: "",
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        whole = path.read_bytes().rpartition(b"\n")[0]
        os.truncate(path, len(whole) + bool(whole))
        self._path, self._now, self._sign = path, now, sign
        found = read_receipts(path)
        self._last = found[-1] if found else None

    def record(
        self, event: ReceiptEvent, task: RoundInput, arrays: Arrays | None, details: Details
    ) -> Receipt:
        """Append one entry about a task and wait until it is on disk.

        Raises:
            StorageFull: it cannot be written.
        """
        arrays_are = arrays_digest(arrays) if arrays is not None else ""
        return self._append(event, (task.task_id, task.kind, task.round, arrays_are), details)

    def note(self, event: ReceiptEvent, details: Details) -> Receipt:
        """Append one entry that is about no task, as :meth:`record` does."""
        return self._append(event, ("", "", 0, ""), details)

    def _append(self, event: ReceiptEvent, about: tuple[str, str, int, str], details: Details) -> Receipt:
        sequence, previous = (self._last.sequence + 1, self._last.hash) if self._last else (0, _FIRST)
        at = self._now().isoformat(timespec="seconds")
        receipt = Receipt(sequence, at, event, *about, dict(details), previous, "")
        receipt = replace(receipt, hash=_hash(receipt))
        receipt = replace(receipt, signature=self._sign(receipt.hash))
        whole = self._path.stat().st_size
        try:
            with self._path.open("ab") as file:
                file.write(canonical_json(asdict(receipt)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self._path, whole)  # half an entry would spoil all that follow
            raise StorageFull("The site's receipt could not be written.", hint="Free disk space.") from error
        self._last = receipt
        return receipt


def read_receipts(path: Path, public_key: bytes | None = None) -> tuple[Receipt, ...]:
    """All entries of a receipts file, each checked: the chain and, given ``public_key`` (PEM), signatures.

    Raises:
        LedgerBroken: an entry was changed, removed, added or cut; names its line.
    """
    found: list[Receipt] = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True)):
        place = (number, found[-1].hash if found else _FIRST)
        try:
            receipt = Receipt(**json.loads(line))
            sound = is_sound(receipt, public_key) and line == canonical_json(asdict(receipt)) + b"\n"
        except (ValueError, TypeError):
            sound = False
        if not sound or (receipt.sequence, receipt.previous) != place:
            raise LedgerBroken(
                "The receipts are not as they were written.", where=f"{path}, line {number + 1}"
            )
        found.append(receipt)
    return tuple(found)


def is_sound(receipt: Receipt, public_key: bytes | None = None) -> bool:
    """Whether an entry's hash is that of its content; given ``public_key`` (PEM), also its signature."""
    signed = public_key is None or is_signed(public_key, receipt.hash.encode(), receipt.signature)
    return signed and receipt.hash == _hash(receipt)


def _hash(receipt: Receipt) -> str:
    fields = asdict(receipt)
    del fields["hash"], fields["signature"]
    return json_digest(fields)


def arrays_digest(arrays: Arrays) -> str:
    """Digest of names, dtypes, shapes and values (C order), in the order given.

    Each array counts as the list of SHA-256 digests of its 8 MiB chunks, so that one large array
    uses several processors.
    """
    with ThreadPoolExecutor() as pool:
        return summaries_digest([array_summary(name, array, pool) for name, array in arrays.items()])


def array_summary(name: str, array: Array, pool: Executor) -> list[Any]:
    """What one array adds to :func:`arrays_digest`."""
    return [name, array.dtype.name, list(array.shape), list(pool.map(_sha256, _chunks(array)))]


def summaries_digest(summaries: list[list[Any]]) -> str:
    """The digest of arrays, from the summary of each."""
    return json_digest({"arrays": summaries})


def _chunks(array: Array) -> list[memoryview]:
    import numpy as np

    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]


def _sha256(data: memoryview) -> str:
    return sha256(data).hexdigest()
