"""A site's own record of what came in and what left, each entry chained to the one before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

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

_FIRST = "sha256:" + "0" * 64
_CHUNK = 8 << 20


class Receipts:
    """An append-only file of receipts, one canonical JSON object per line.

    A last line that a power cut left unfinished is cut off; any other damage is refused.

    Raises:
        LedgerBroken: the file's chain does not hold.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        whole = path.read_bytes().rpartition(b"\n")[0]
        os.truncate(path, len(whole) + bool(whole))
        self._path, self._now = path, now
        self._last = verify(path)

    def record(
        self,
        event: Literal["received", "released", "refused"],
        task: RoundInput,
        arrays: Arrays | None,
        details: Mapping[str, str | int | float],
    ) -> Receipt:
        """Append one entry and wait until it is on disk.

        Raises:
            StorageFull: it cannot be written.
        """
        sequence, previous = (self._last.sequence + 1, self._last.hash) if self._last else (0, _FIRST)
        at = self._now().isoformat(timespec="seconds")
        about = (task.task_id, task.kind, task.round, arrays_digest(arrays) if arrays is not None else "")
        receipt = Receipt(sequence, at, event, *about, dict(details), previous, "")
        receipt = replace(receipt, hash=_hash(receipt))
        try:
            with self._path.open("ab") as file:
                file.write(canonical_json(asdict(receipt)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageFull("The site's receipt could not be written.", hint="Free disk space.") from error
        self._last = receipt
        return receipt


def verify(path: Path) -> Receipt | None:
    """Check every entry of a receipts file; returns the last, None of an empty file.

    Raises:
        LedgerBroken: an entry was changed, removed, added or cut; names its line.
    """
    last: Receipt | None = None
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True)):
        try:
            receipt = Receipt(**json.loads(line))
            sound = _hash(receipt) == receipt.hash and line == canonical_json(asdict(receipt)) + b"\n"
        except (ValueError, TypeError):
            sound = False
        if not sound or receipt.sequence != number or receipt.previous != (last.hash if last else _FIRST):
            raise LedgerBroken(
                "The receipts are not as they were written.", where=f"{path}, line {number + 1}"
            )
        last = receipt
    return last


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
        summary = {
            "arrays": [
                [name, array.dtype.name, list(array.shape), list(pool.map(_sha256, _chunks(array)))]
                for name, array in arrays.items()
            ]
        }
    return json_digest(summary)


def _chunks(array: Array) -> list[memoryview]:
    import numpy as np

    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]


def _sha256(data: memoryview) -> str:
    return sha256(data).hexdigest()
