"""Send one task to some sites and gather the replies, whatever happens to the sites meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nbfed_site.contracts import (
    QuorumMissed,
    RoundInput,
    RoundOutput,
    SiteFailure,
    error_kind,
)

from .port import Event, Failed, Joined, Lost, Received, Replied, Transport

_POLL_SECONDS = 0.5


class Journal(Protocol):
    """Where the round loop writes what happened."""

    def record(self, kind: str, /, **body: Any) -> None:
        """Keep a fact for ever."""

    def tell(self, kind: str, /, **body: Any) -> None:
        """Show a passing state; it need not be kept."""


@dataclass(slots=True)
class Roster:
    """Who is connected. Fed with every transport event by :meth:`see`."""

    journal: Journal
    present: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def see(self, event: Event) -> None:
        """Take note of a site that came or went."""
        if isinstance(event, Joined):
            self.present[event.site] = event.instance
            self.journal.record("joined", site=event.site, again=event.site in self.known)
            self.known.add(event.site)
        elif isinstance(event, Lost) and self.present.pop(event.site, None) is not None:
            self.journal.record("lost", site=event.site)


@dataclass(slots=True)
class Gathering:
    """One task under way at some sites.

    Attributes:
        deadline: absolute time, on the same clock as ``clock``.
        quorum: fewest replies that make the task a success.
        screen: says why a reply cannot be used, or None.
    """

    transport: Transport
    roster: Roster
    clock: Callable[[], float]
    task: RoundInput
    sites: Sequence[str]
    quorum: int
    deadline: float
    screen: Callable[[RoundOutput], SiteFailure | None] = lambda output: None
    pending: set[str] = field(init=False)
    sent: dict[str, str] = field(init=False, default_factory=dict)
    replied: int = field(init=False, default=0)
    failures: dict[str, SiteFailure] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.pending = set(self.sites)

    def replies(self) -> Iterator[Replied]:
        """Yield each site's reply as it comes; end when no more can be expected.

        A site that restarts is sent its task again. Replies to other tasks are dropped and recorded.

        Raises:
            NbfedError: of the kind that a site failed with, so that the quorum cannot be reached any more.
            QuorumMissed: the deadline passed without a quorum.
        """
        self._send(site for site in self.sites if site in self.roster.present)
        waiting = False
        while self.pending and not self._settled():
            left = self.deadline - self.clock()
            if left <= 0 or self.replied + len(self.pending) < self.quorum:
                break
            waiting = waiting or self._tell_if_waiting(left)
            for event in self.transport.events(min(left, _POLL_SECONDS)):
                reply = self._take(event)
                if reply is not None:
                    yield reply
        self._drop_stragglers()
        if self.replied < self.quorum:
            raise self._missed()

    def _send(self, sites: Iterable[str]) -> None:
        chosen = list(sites)
        if chosen:
            self.transport.send(self.task, chosen)
            for site in chosen:
                self.sent[site] = self.roster.present[site]
                self._tell("sent", site)

    def _settled(self) -> bool:
        """With a quorum reached, sites that are gone are not waited for."""
        return self.replied >= self.quorum and not self.pending & self.roster.present.keys()

    def _tell_if_waiting(self, left: float) -> bool:
        absent = sorted(self.pending & self.roster.known - self.roster.present.keys())
        if absent and len(absent) == len(self.pending):
            self.roster.journal.tell("waiting", sites=absent, quorum=self.quorum, seconds_left=round(left, 1))
            return True
        return False

    def _take(self, event: Event) -> Replied | None:
        self.roster.see(event)
        if isinstance(event, Joined) and event.site in self.pending:
            if self.sent.get(event.site) != event.instance:
                self._send([event.site])
        elif isinstance(event, Received) and event.task_id == self.task.task_id:
            self._tell("received", event.site)
        elif isinstance(event, Failed):
            if event.task_id in (self.task.task_id, "") and event.site in self.pending:
                self._fail(event.site, event.failure)
        elif isinstance(event, Replied):
            return self._accept(event)
        return None

    def _accept(self, reply: Replied) -> Replied | None:
        if reply.output.task_id != self.task.task_id or reply.site not in self.pending:
            self.roster.journal.record("late", site=reply.site, round=reply.output.round)
        elif (failure := self.screen(reply.output)) is not None:
            self._fail(reply.site, failure)
        else:
            self.pending.discard(reply.site)
            self.replied += 1
            return reply
        self.transport.discard(reply)
        return None

    def _fail(self, site: str, failure: SiteFailure) -> None:
        self.pending.discard(site)
        self.failures[site] = failure
        self.roster.journal.record(
            "failed",
            site=site,
            round=self.task.round,
            task=self.task.kind,
            code=failure.code,
            what=failure.what,
            where=failure.where,
            source_line=failure.source,
            exception=failure.exception,
            hint=failure.hint,
        )

    def _tell(self, kind: str, site: str) -> None:
        self.roster.journal.tell(kind, site=site, round=self.task.round, task=self.task.kind)

    def _drop_stragglers(self) -> None:
        if not self.pending:
            return
        self.transport.cancel(self.task.task_id)
        for site in sorted(self.pending):
            here = site in self.roster.present
            reason = "no reply before the deadline" if here else "not connected"
            self.roster.journal.record(
                "dropped", site=site, round=self.task.round, task=self.task.kind, reason=reason
            )

    def _missed(self) -> Exception:
        round_name = f"round {self.task.round}, {self.task.kind}"
        if self.failures:
            site, failure = min(self.failures.items())
            others = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
            source = f"\n    {failure.source.strip()}" if failure.source else ""
            return error_kind(failure.code)(
                f"{site}{others}: {failure.what}",
                where=(failure.where or round_name) + source,
                hint=failure.hint or f"Mend this, then resume the run ({round_name} is repeated).",
            )
        missing = ", ".join(sorted(self.pending))
        return QuorumMissed(
            f"{self.replied} of {len(self.sites)} sites replied before the deadline; "
            f"the quorum is {self.quorum}.",
            where=f"{round_name}; no reply from {missing}",
            hint="Bring the sites back and resume the run, or declare a lower --quorum.",
        )
