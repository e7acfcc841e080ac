"""One round: who is asked, in which order updates are added, and what is kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nbfed_site.contracts import derive_seed

from ..aggregation import Strategy
from .collect import Gathering
from .floor import Floor
from .journal import traffic
from .port import Replied
from .screening import Screening
from .store import ModelStore
from .tasks import Tasks, note_evaluations

NOT_DRAWN = "not drawn for this round"


@dataclass(slots=True)
class Round:
    """Round ``number``, to be run once by :meth:`run`."""

    number: int
    floor: Floor
    tasks: Tasks
    strategy: Strategy
    store: ModelStore
    screen: Screening
    weights: dict[str, float] = field(init=False, default_factory=dict)
    late: dict[str, float] = field(init=False, default_factory=dict)

    def run(self, seconds: float) -> None:
        """Ask, add up, and keep the new model; ``seconds`` is the deadline.

        Raises:
            NbfedError: there is no quorum of fresh updates; the model of the round before is kept.
            StopAsked: the coordinator ends the run.
        """
        seats, started = set(self.floor.attendance.seats), self.floor.clock()
        sites = self._chosen(len(seats))
        self.floor.journal.record(
            "round_started",
            round=self.number,
            sites=list(sites),
            absent=self._absent(sites),
            quorum=self.floor.quorum_of(seats),
            deadline=round(seconds, 1),
        )
        current = self.store.arrays(self.number - 1)
        self.strategy.begin(current)
        fold = _InOrder(sites, self._add)
        gathering = Gathering(
            self.floor,
            self.tasks.train(self.number, current),
            sites,
            seconds,
            lambda: self.floor.quorum_of(seats),
            self.screen,
            self.floor.settings.stragglers,
        )
        for reply in gathering.replies():
            self._note(reply)
            fold.take(reply, gathering.pending)
        fold.rest()
        for reply in self.floor.late.collect():
            self._add_late(reply)
        self._finish(started)

    def _chosen(self, seats: int) -> tuple[str, ...]:
        """The sites that are asked: of those that can, all or a share drawn by seed and round."""
        free = [site for site in self.floor.attendance.members if not self.floor.obstacle(site)]
        count = self.floor.settings.asked_of(seats)
        if count >= len(free):
            return tuple(free)
        draw = random.Random(derive_seed(self.floor.settings.seed, "sample", self.number))
        return tuple(sorted(draw.sample(free, count)))

    def _absent(self, sites: Sequence[str]) -> dict[str, str]:
        """Member -> why it is not asked."""
        others = [site for site in self.floor.attendance.members if site not in sites]
        return {site: self.floor.obstacle(site) or NOT_DRAWN for site in others}

    def _add(self, reply: Replied) -> None:
        self.strategy.add(reply.output.arrays or {}, reply.output.num_examples)
        self.weights[reply.site] = reply.output.num_examples
        self.floor.transport.discard(reply)

    def _add_late(self, reply: Replied) -> None:
        """An update of an earlier round, after the fresh ones: the later it comes, the less it counts."""
        rounds = self.number - reply.output.round
        weight = reply.output.num_examples / (1 + rounds)
        self._note(reply, rounds)
        self.strategy.add(reply.output.arrays or {}, weight)
        self.late[reply.site] = weight
        self.floor.transport.discard(reply)

    def _note(self, reply: Replied, late: int = 0) -> None:
        """Put an update into the record: what it rests on, and how many rounds late it is."""
        output = reply.output
        judged = None if late else self.store
        note_evaluations(self.floor.journal, judged, reply, f"round-{output.round - 1}")
        self.floor.journal.record(
            "update",
            site=reply.site,
            round=self.number,
            late=late,
            num_examples=output.num_examples,
            metrics=dict(output.metrics),
            **traffic(reply),
        )

    def _finish(self, started: float) -> None:
        aggregated = self.floor.clock()
        checkpoint = self.store.save(self.number, self.strategy.finish(), self.strategy.state())
        self.store.choose_best(self.number - 1)
        self.floor.journal.record(
            "round_finished",
            round=self.number,
            weights=self.weights,
            late=self.late,
            digest=checkpoint.digest,
            seconds=round(self.floor.clock() - started, 4),
            seconds_saving=round(self.floor.clock() - aggregated, 4),
        )


@dataclass(slots=True)
class _InOrder:
    """Hands replies on in the order of ``sites``, as early as the missing ones before allow."""

    sites: Sequence[str]
    add: Callable[[Replied], None]
    held: dict[str, Replied] = field(default_factory=dict)
    position: int = 0

    def take(self, reply: Replied, pending: set[str]) -> None:
        self.held[reply.site] = reply
        while self.position < len(self.sites) and self.sites[self.position] not in pending:
            self._release(self.sites[self.position])
            self.position += 1

    def rest(self) -> None:
        for site in self.sites:
            self._release(site)

    def _release(self, site: str) -> None:
        if site in self.held:
            self.add(self.held.pop(site))
