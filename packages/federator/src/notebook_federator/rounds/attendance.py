"""Who is a member and who is connected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .journal import Journal
from .orders import Orders, StopAsked
from .port import Event, Joined, Lost


@dataclass(slots=True)
class Attendance:
    """Follows the coordinator's orders, and is shown every event of the transport.

    Attributes:
        orders: what the coordinator has decided by now.
        present: site -> instance of its process, of the sites that are connected.
        away: site -> since when it is not, on ``clock``.
        seats: the members that a share counts: all who are members when the first round begins, and
            those added later from when they can be asked.
        seated: the first round has begun.
    """

    journal: Journal
    ask_orders: Callable[[], Orders]
    clock: Callable[[], float]
    orders: Orders = field(init=False)
    present: dict[str, str] = field(init=False, default_factory=dict)
    away: dict[str, float] = field(init=False, default_factory=dict)
    seats: set[str] = field(init=False, default_factory=set)
    seated: bool = field(init=False, default=False)
    _known: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.orders = self.ask_orders()
        self.seats = set(self.orders.sites)

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the member sites, sorted."""
        return self.orders.sites

    def follow(self) -> None:
        """Take the orders of this moment.

        Raises:
            StopAsked: the coordinator ends the run.
        """
        before, self.orders = set(self.orders.sites), self.ask_orders()
        if self.orders.stopped:
            raise StopAsked("Stopped by the coordinator.")
        now = set(self.orders.sites)
        for site in sorted(before - now):
            self.journal.record("removed", site=site)
        for site in sorted(now - before):
            self.journal.record("added", site=site)
        self.seats = self.seats & now if self.seated else now

    def see(self, event: Event) -> None:
        """Take note of a site that came or went."""
        if isinstance(event, Joined):
            self.present[event.site] = event.instance
            self.away.pop(event.site, None)
            self.journal.record("joined", site=event.site, again=event.site in self._known)
            self._known.add(event.site)
        elif isinstance(event, Lost) and self.present.pop(event.site, None) is not None:
            self.away[event.site] = self.clock()
            self.journal.record("lost", site=event.site)
