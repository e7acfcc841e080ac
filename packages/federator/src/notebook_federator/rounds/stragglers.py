"""Sites that go on with an older round: their updates join the round that is under way when they come."""

from __future__ import annotations

from dataclasses import dataclass, field

from nbfed_site.contracts import RoundInput

from .attendance import Attendance
from .journal import Journal, record_failure, what_came
from .port import Event, Failed, Received, Replied, Transport
from .screening import Screening


@dataclass(slots=True)
class Late:
    """Tasks of earlier rounds that are still under way, and what has come of them."""

    transport: Transport
    attendance: Attendance
    journal: Journal
    screen: Screening
    under_way: dict[str, tuple[RoundInput, str]] = field(init=False, default_factory=dict)
    arrived: list[Replied] = field(init=False, default_factory=list)

    def keep(self, site: str, task: RoundInput, instance: str) -> None:
        """Let the process ``instance`` of ``site`` go on with ``task``."""
        self.under_way[site] = RoundInput(task.task_id, task.kind, task.round), instance

    def follow(self) -> None:
        """Forget the tasks of removed sites, and those that a restart of a site has ended."""
        for site, (_, instance) in list(self.under_way.items()):
            here = self.attendance.present.get(site, instance)
            if site not in self.attendance.members or here != instance:
                del self.under_way[site]

    def obstacle(self, site: str) -> str:
        """Why ``site`` gets no new task; empty where it does."""
        return f"still at work on round {self.under_way[site][0].round}" if site in self.under_way else ""

    def take(self, event: Event) -> bool:
        """Deal with an event that concerns a task kept; False of any other."""
        task, _ = self.under_way.get(event.site, (None, ""))
        if task is None:
            return False
        if isinstance(event, Replied) and event.output.task_id == task.task_id:
            self._answered(event, task)
            return True
        if isinstance(event, Failed) and event.task_id == task.task_id:
            del self.under_way[event.site]
            record_failure(self.journal, event.site, task, event.failure)
            return True
        return isinstance(event, Received) and event.task_id == task.task_id

    def _answered(self, reply: Replied, task: RoundInput) -> None:
        del self.under_way[reply.site]
        failure = self.screen(task, reply)
        if failure is None:
            self.arrived.append(reply)
            return
        record_failure(self.journal, reply.site, task, failure, reply)
        self.transport.discard(reply)

    def collect(self) -> list[Replied]:
        """What has arrived since the last call, in the order of the sites' names."""
        found, self.arrived = self.arrived, []
        return sorted(found, key=lambda reply: (reply.site, reply.output.round))

    def end(self) -> None:
        """No round comes any more that an update could join."""
        for site, (task, _) in sorted(self.under_way.items()):
            self.transport.cancel(task.task_id)
            self.journal.record("late", site=site, round=task.round)
        self.under_way.clear()
        for reply in self.collect():
            self.journal.record("late", site=reply.site, round=reply.output.round, **what_came(reply))
            self.transport.discard(reply)
