"""Where everything that happens passes through: sites, orders, and tasks that run beside a round's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .attendance import Attendance
from .journal import Journal, what_came
from .port import Event, Replied, Transport
from .reception import Reception
from .settings import RoundSettings
from .stragglers import Late

POLL_SECONDS = 0.5


@dataclass(slots=True)
class Floor:
    """The sites as the phases of a run see them. One thread; every wait is in :meth:`events`."""

    settings: RoundSettings
    transport: Transport
    journal: Journal
    clock: Callable[[], float]
    attendance: Attendance
    reception: Reception
    late: Late

    def events(self, timeout: float) -> Iterator[Event]:
        """Events that nobody here has dealt with, waiting at most ``timeout`` seconds for the first.

        Raises:
            StopAsked: the coordinator ends the run.
        """
        self.attendance.follow()
        self.late.follow()
        self.reception.invite()
        for event in self.transport.events(min(timeout, POLL_SECONDS)):
            self.attendance.see(event)
            if not (self.reception.take(event) or self.late.take(event)):
                yield event

    def idle(self, timeout: float) -> None:
        """Let time pass while no task of a round is under way."""
        for event in self.events(timeout):
            if isinstance(event, Replied):
                self.refuse_late(event)

    def refuse_late(self, reply: Replied) -> None:
        """Drop a reply that nobody waits for any more."""
        self.journal.record("late", site=reply.site, round=reply.output.round, **what_came(reply))
        self.transport.discard(reply)

    def obstacle(self, site: str) -> str:
        """Why ``site`` cannot be sent a new task now, or once it is back; empty where it can."""
        return self.reception.obstacle(site) or self.late.obstacle(site)

    def obstacles(self) -> dict[str, str]:
        """Member -> why it cannot be sent a new task, of the members that cannot."""
        found = {site: self.obstacle(site) for site in self.attendance.members}
        return {site: why for site, why in found.items() if why}

    def can_take(self, site: str) -> bool:
        """Whether a task can be sent to ``site`` at this moment."""
        return site in self.attendance.present and not self.obstacle(site)

    def may_come(self, site: str) -> bool:
        """Whether ``site`` is connected, and works or soon can."""
        here = site in self.attendance.present
        return here and (self.reception.busy(site) or not self.reception.obstacle(site))

    def quorum_of(self, seats: set[str]) -> int:
        """The quorum of those of ``seats`` that are members still."""
        return self.settings.quorum.of(len(seats & set(self.attendance.members)))
