"""A transport inside one process: sites are functions. For tests and for a plain-loop comparison."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nbfed_site.contracts import NbfedError, RoundInput, RoundOutput, SiteFailure

from .port import Event, Failed, Joined, Received, Replied


@dataclass(slots=True)
class MemoryTransport:
    """Runs ``handlers[site](task)`` when its events are asked for, in the order of sending."""

    handlers: Mapping[str, Callable[[RoundInput], RoundOutput]]
    queue: deque[tuple[str, RoundInput]] = field(default_factory=deque)
    news: deque[Event] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.news.extend(Joined(site, "1") for site in self.handlers)

    def send(self, task: RoundInput, sites: Sequence[str]) -> None:
        """Queue ``task`` for ``sites``."""
        self.queue.extend((site, task) for site in sites)

    def events(self, timeout: float) -> Iterator[Event]:
        """Yield waiting news, then run the next queued task."""
        if not self.news and not self.queue:
            time.sleep(min(timeout, 0.01))
        while self.news:
            yield self.news.popleft()
        if self.queue:
            yield from self._work(*self.queue.popleft())

    def _work(self, site: str, task: RoundInput) -> Iterator[Event]:
        yield Received(site, task.task_id)
        try:
            output = self.handlers[site](task)
        except NbfedError as error:
            yield Failed(
                site, task.task_id, SiteFailure(error.code, error.what, error.where, hint=error.hint)
            )
        else:
            yield Replied(site, output, 0, 0, 0.0)

    def discard(self, reply: Replied) -> None:
        """Nothing to free."""

    def cancel(self, task_id: str) -> None:
        """Forget queued tasks of this id."""
        self.queue = deque(item for item in self.queue if item[1].task_id != task_id)

    def close(self) -> None:
        """Nothing to close."""
