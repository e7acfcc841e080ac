"""Send one task to some sites and gather the replies, whatever happens to the sites meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nbfed_site.contracts import QuorumMissed, RoundInput, SiteFailure, error_kind

from .floor import POLL_SECONDS, Floor
from .journal import record_failure
from .port import Event, Failed, Received, Replied
from .screening import Screening
from .settings import Stragglers


@dataclass(slots=True)
class Gathering:
    """One task under way at some sites.

    Attributes:
        seconds: that it may take from now; with ``wait``, that a site may be out of reach.
        quorum: fewest replies that make the task a success, by the members of the moment.
        stragglers: what becomes of sites that have not answered in time.
        sent: site -> instance of its process that was sent the task last.
    """

    floor: Floor
    task: RoundInput
    sites: Sequence[str]
    seconds: float
    quorum: Callable[[], int]
    screen: Screening
    stragglers: Stragglers = "drop"
    pending: set[str] = field(init=False)
    sent: dict[str, str] = field(init=False, default_factory=dict)
    replied: int = field(init=False, default=0)
    failures: dict[str, SiteFailure] = field(init=False, default_factory=dict)
    _deadline: float = field(init=False)
    _away: dict[str, float] = field(init=False, default_factory=dict)
    _told: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.pending = set(self.sites)
        self._deadline = self.floor.clock() + self.seconds

    def replies(self) -> Iterator[Replied]:
        """Yield each site's reply as it comes; end when no more can be expected.

        A site that restarts is sent its task again. Replies to other tasks are dropped and recorded.

        Raises:
            NbfedError: of the kind that a site failed with, so that the quorum cannot be reached any more.
            QuorumMissed: the deadline passed without a quorum.
            StopAsked: the coordinator ends the run.
        """
        while True:
            self._excuse()
            self._send()
            if not self.pending or self._is_over():
                break
            self._tell_if_waiting()
            for event in self.floor.events(self._left()):
                reply = self._take(event)
                if reply is not None:
                    yield reply
        self._leave_out()
        if self.replied < self.quorum():
            raise self._missed()

    def _left(self) -> float:
        """Seconds until something has to be decided."""
        left = self._deadline - self.floor.clock()
        return POLL_SECONDS if self.stragglers == "wait" else max(left, 0.0)

    def _excuse(self) -> None:
        """Give up sites that were removed, or that a new process of theirs cannot stand in for."""
        now = self.floor.clock()
        for site in sorted(self.pending):
            if site not in self.floor.attendance.members:
                self._drop(site, "removed from the federation")
            elif site in self.floor.reception.failures:
                self._fail(site, self.floor.reception.failures[site])
            elif self.floor.may_come(site):
                self._away.pop(site, None)
            else:
                since = self._away.setdefault(site, self.floor.attendance.away.get(site, now))
                if self.stragglers == "wait" and now - since > self.seconds:
                    self._drop(site, self.floor.obstacle(site) or "not connected")

    def _send(self) -> None:
        present = self.floor.attendance.present
        due = [
            site
            for site in self.sites
            if site in self.pending and self.sent.get(site) != present.get(site) and self.floor.can_take(site)
        ]
        if due:
            self.floor.transport.send(self.task, due)
        for site in due:
            self.sent[site] = present[site]
            self._tell("sent", site)

    def _is_over(self) -> bool:
        if self.replied + len(self.pending) < self.quorum():
            return True
        if self.stragglers == "wait":
            return False
        settled = self.replied >= self.quorum() and not any(map(self.floor.may_come, self.pending))
        return settled or self.floor.clock() >= self._deadline

    def _tell_if_waiting(self) -> None:
        """Say so once, where only sites that cannot answer now are waited for."""
        if self._told or any(map(self.floor.may_come, self.pending)):
            return
        self._told = True
        why = {site: self.floor.obstacle(site) or "not connected" for site in sorted(self.pending)}
        left = round(self._deadline - self.floor.clock(), 1)
        self.floor.journal.tell("waiting", sites=list(why), why=why, quorum=self.quorum(), seconds_left=left)

    def _take(self, event: Event) -> Replied | None:
        if isinstance(event, Received) and event.task_id == self.task.task_id:
            self._tell("received", event.site)
        elif isinstance(event, Failed):
            if event.task_id == self.task.task_id and event.site in self.pending:
                self._fail(event.site, event.failure)
        elif isinstance(event, Replied):
            return self._accept(event)
        return None

    def _accept(self, reply: Replied) -> Replied | None:
        if reply.output.task_id != self.task.task_id or reply.site not in self.pending:
            self.floor.refuse_late(reply)
            return None
        if (failure := self.screen(self.task, reply)) is not None:
            self._fail(reply.site, failure, reply)
            self.floor.transport.discard(reply)
            return None
        self.pending.discard(reply.site)
        self.replied += 1
        return reply

    def _fail(self, site: str, failure: SiteFailure, refused: Replied | None = None) -> None:
        self.pending.discard(site)
        self.failures[site] = failure
        record_failure(self.floor.journal, site, self.task, failure, refused)

    def _tell(self, kind: str, site: str) -> None:
        self.floor.journal.tell(kind, site=site, round=self.task.round, task=self.task.kind)

    def _drop(self, site: str, reason: str) -> None:
        self.pending.discard(site)
        self.floor.journal.record(
            "dropped", site=site, round=self.task.round, task=self.task.kind, reason=reason
        )

    def _leave_out(self) -> None:
        """Part with the sites that have not answered."""
        if not self.pending:
            return
        keep = self.stragglers == "late" and self.replied >= self.quorum()
        if keep:
            self.screen.remember(self.task)
        else:
            self.floor.transport.cancel(self.task.task_id)
        missing = sorted(self.pending)
        for site in missing:
            here = self.floor.can_take(site)
            reason = "no reply before the deadline" if here else self.floor.obstacle(site) or "not connected"
            if keep and site in self.sent:
                self.floor.late.keep(site, self.task, self.sent[site])
                reason = f"{reason}; its update may join a later round"
            self._drop(site, reason)
        self.pending = set(missing)

    def _missed(self) -> Exception:
        name = f"round {self.task.round}, {self.task.kind}"
        if self.failures:
            site, failure = min(self.failures.items())
            others = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
            source = f"\n    {failure.source.strip()}" if failure.source else ""
            return error_kind(failure.code)(
                f"{site}{others}: {failure.what}",
                where=(failure.where or name) + source,
                hint=failure.hint or f"Mend this, then resume the run ({name} is repeated).",
            )
        missing = ", ".join(sorted(self.pending)) or "the sites that were removed"
        return QuorumMissed(
            f"{self.replied} of {len(self.sites)} sites replied before the deadline; "
            f"the quorum is {self.quorum()}.",
            where=f"{name}; no reply from {missing}",
            hint="Bring the sites back and resume the run, or declare a lower --quorum.",
        )
