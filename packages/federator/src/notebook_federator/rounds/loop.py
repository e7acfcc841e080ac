"""The life of a run: gather the sites, train round by round, evaluate, compare with each site alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nbfed_site.contracts import Receipt, RoundInput

from ..aggregation import Strategy
from .attendance import Attendance
from .closing import Closing
from .deadlines import deadline_of
from .floor import Floor
from .gate import admit, hold
from .journal import Journal
from .orders import Orders
from .port import Transport
from .reception import Reception
from .screening import Screening
from .settings import RoundSettings
from .start import check_same_model, from_a_site, from_file
from .store import ModelStore
from .stragglers import Late
from .tasks import Tasks
from .training import Round


@dataclass(slots=True)
class Run:
    """A federated run over ``transport``. :meth:`go` does the whole of it.

    What is done is in the store and the journal, so that a run that ended anywhere goes on from its
    last finished round: a round depends on nothing but the model, the seed and its number.
    ``orders`` is asked between any two events; its sites may come and go. Where the run is resumed,
    ``receipts`` are the newest ones known of each site, and ``estimates`` what canaries said.
    """

    settings: RoundSettings
    transport: Transport
    strategy: Strategy
    store: ModelStore
    journal: Journal
    clock: Callable[[], float]
    orders: Callable[[], Orders]
    receipts: Mapping[str, Receipt] = field(default_factory=dict)
    estimates: Mapping[str, float] = field(default_factory=dict)
    tasks: Tasks = field(init=False)
    screen: Screening = field(init=False)
    floor: Floor = field(init=False)
    _deadline: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        attendance = Attendance(self.journal, self.orders, self.clock)
        self.tasks = Tasks(self.settings, lambda: attendance.orders.head)
        self.screen = Screening(self.settings, attendance, dict(self.receipts))
        common = (self.transport, attendance, self.journal, self.screen)
        reception = Reception(*common, self.tasks.describe(), self.settings.patient)
        reception.estimates |= self.estimates
        late = Late(*common)
        self.floor = Floor(
            self.settings, self.transport, self.journal, self.clock, attendance, reception, late
        )

    def go(self) -> None:
        """Run to the end, from the last checkpoint if there is one.

        Raises:
            NbfedError: the run cannot go on; everything finished so far is kept.
            StopAsked: the coordinator ends the run.
        """
        admit(self.floor, everyone=True)
        self._fix_model()
        done = self._begin()
        if self.settings.deadline is None:
            self.floor.reception.canary = self._canary
            admit(self.floor, everyone=True)
        self.floor.attendance.seated = True
        for number in range(done + 1, self.settings.rounds + 1):
            self._wait_for_leave(number - 1)
            Round(number, self.floor, self.tasks, self.strategy, self.store, self.screen).run(self._seconds())
        self.floor.late.end()
        closing = Closing(self.floor, self.tasks, self.store, self.screen, self._seconds())
        closing.judge(self.settings.rounds)
        if self.settings.alone:
            closing.train_alone(self.settings.rounds, self.settings.epochs)
        self.journal.record("finished", rounds=self.settings.rounds, best=self.store.best_round)

    def _fix_model(self) -> None:
        """From now on the model is what the sites that fit have built alike."""
        cards = self.floor.reception.cards
        ready = [site for site in self.floor.attendance.members if not self.floor.obstacle(site)]
        models = {site: cards[site].arrays for site in ready}
        check_same_model(models)
        self.screen.specs = self.floor.reception.specs = models[ready[0]]

    def _begin(self) -> int:
        """The model that round 1 starts from, or the last finished round of a run that is resumed."""
        done = self.store.last_round
        if done is not None:
            self.strategy.restore(self.store.state(done))
            self.journal.record("resumed", round=done, after="restart")
            return done
        if self.settings.initial is not None:
            from_file(self.floor, self.store, self.settings.initial)
        else:
            seconds = self.settings.deadline or self.settings.join_deadline
            from_a_site(self.floor, self.tasks, self.store, self.screen, seconds)
        return 0

    def _canary(self) -> RoundInput:
        done = self.store.last_round or 0
        return self.tasks.canary(done, self.store.arrays(done))

    def _wait_for_leave(self, done: int) -> None:
        """Until the run is not paused and enough sites can train."""
        while True:
            hold(self.floor, done)
            admit(self.floor, everyone=False)
            if not self.floor.attendance.orders.paused:
                return

    def _seconds(self) -> float:
        """The deadline of a round; recorded where it is derived, and whenever it changes."""
        if self.settings.deadline is not None:
            return self.settings.deadline
        members, estimates = self.floor.attendance.members, self.floor.reception.estimates
        known = {site: estimates[site] for site in members if site in estimates}
        seconds = deadline_of(known)
        if seconds != self._deadline:
            self._deadline = seconds
            self.journal.record("deadline", seconds=round(seconds, 1), **{"from": known})
        return seconds
