"""What a build looks like while it runs: a bar for each layer at work, or plain lines, or JSON lines."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Event = Mapping[str, Any]
Show = Callable[[Event], None]
_AT_WORK = {"making": "making", "downloading": "downloading", "uploading": "uploading"}
_WORTH_A_BAR = 1 << 20  # bytes


@contextmanager
def shown(how: str) -> Iterator[Show]:
    """A display on standard error: ``auto``, ``lines``, ``json`` or ``none``."""
    if how == "json":
        yield lambda event: print(json.dumps(event), file=sys.stderr, flush=True)
    elif how == "none":
        yield lambda event: None
    elif how == "lines" or not sys.stderr.isatty():
        yield _lines
    else:
        with _Bars() as bars:
            yield bars


def _lines(event: Event) -> None:
    """One line for each step of a layer that takes time; nothing while it goes on."""
    if event["state"] == "note":
        print(event["title"], file=sys.stderr, flush=True)
    elif event["total"] >= _WORTH_A_BAR and event["state"] not in _AT_WORK:
        megabytes = event["total"] / 1e6
        print(f"{event['title']}: {event['state']}, {megabytes:.1f} MB", file=sys.stderr, flush=True)


class _Bars:
    """A bar for each layer and step, with bytes and rate; shown as soon as one is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event, from any thread."""
        with self._lock:
            if event["state"] == "note":
                self._display().console.print(event["title"])
            elif event["state"] in _AT_WORK and event["total"] >= _WORTH_A_BAR:
                self._move(event["title"], event["state"], event["bytes"], event["total"])
            elif event["state"] not in _AT_WORK:
                self._finish(event["title"])

    def _move(self, title: str, state: str, done: int, total: int) -> None:
        display = self._display()
        task = self._tasks.get((title, state))
        if task is None:
            task = display.add_task(f"{_AT_WORK[state]:<11} {title}", total=total)
            self._tasks[title, state] = task
        display.update(task, completed=done, total=total)

    def _finish(self, title: str) -> None:
        for (known, _), task in self._tasks.items():
            if known == title and self._progress is not None:
                total = self._progress.tasks[task].total
                self._progress.update(task, completed=total)

    def _display(self) -> Progress:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._progress.start()
        return self._progress
