"""Progress of one layer, told at most ten times a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

Progress = Callable[[Mapping[str, Any]], None]
_SECONDS = 0.1


class Meter:
    """Counts bytes of one layer in one state, from any thread; ``total`` in bytes."""

    def __init__(self, progress: Progress, title: str, state: str, total: int) -> None:
        self._progress = progress
        self._title = title
        self._state = state
        self._total = total
        self._done = 0
        self._told = float("-inf")
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """``count`` bytes more; negative where some must be done again."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._told < _SECONDS and self._done != self._total:
                return
            self._told = now
            event = layer_event(self._title, self._state, self._done, self._total)
        self._progress(event)


def layer_event(title: str, state: str, done: int, total: int) -> Mapping[str, Any]:
    """One event of a layer, as every function of this room tells it; sizes in bytes."""
    return {"event": "layer", "title": title, "state": state, "bytes": done, "total": total}
