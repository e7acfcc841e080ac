"""Sites that fail, vanish, restart, lag and change their minds, on a clock that a test turns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbfed_site.contracts import NbfedError, RoundInput, RoundOutput, SiteCodeFailed, SiteFailure
from notebook_federator.rounds.orders import Orders
from notebook_federator.rounds.port import Event, Failed, Joined, Lost, Received, Replied

WORK_SECONDS = 1.0
PATIENCE = 30_000


class Hangs(AssertionError):
    """The run waits for ever."""


@dataclass
class Sim:
    """One simulated site. ``tasks`` are (task, when it will be done), one after the other."""

    handler: Any
    instance: int = 1
    here: bool = True
    tasks: list[tuple[RoundInput, float]] = field(default_factory=list)
    slow: float = 1.0
    fails: bool = False
    forges: bool = False
    unfit: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """At ``at`` seconds, ``do`` (a method of :class:`World`) to ``site``."""

    at: float
    do: str
    site: str = ""


@dataclass
class World:
    """A transport, a clock and the coordinator, all at once."""

    sims: dict[str, Sim]
    faults: list[Fault]
    orders: Orders
    now: float = 0.0
    calls: int = 0
    news: list[Event] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faults = sorted(self.faults, key=lambda fault: fault.at)
        self.news = [Joined(name, "1") for name, sim in self.sims.items() if sim.here]

    def clock(self) -> float:
        return self.now

    def ask(self) -> Orders:
        return self.orders

    # -- the transport -------------------------------------------------------------------------

    def send(self, task: RoundInput, sites: Sequence[str]) -> None:
        for name in sites:
            sim = self.sims[name]
            assert name in self.orders.sites, f"{name} was removed, and was sent {task.task_id}"
            assert sim.here, f"{name} is away, and was sent {task.task_id}"
            unfit = sim.unfit and name not in self.orders.waived
            assert not unfit or task.kind != "train", f"{name} does not fit, and was sent {task.task_id}"
            begun = max([self.now, *(done for _, done in sim.tasks)])
            sim.tasks.append((task, begun + WORK_SECONDS * sim.slow))
            self.sent.append((name, task.task_id))

    def events(self, timeout: float) -> Iterator[Event]:
        self.calls += 1
        if self.calls > PATIENCE:
            raise Hangs(f"no end after {self.calls} looks, at {self.now:.0f} s")
        if self.news:
            yield from self._tell()
            return
        nexts = [sim.tasks[0][1] for sim in self.sims.values() if sim.here and sim.tasks]
        nexts += [fault.at for fault in self.faults[:1]]
        due = min([item for item in nexts if item >= self.now] or [self.now + timeout])
        self.now = min(max(due, self.now), self.now + timeout) if timeout else self.now
        while self.faults and self.faults[0].at <= self.now:
            fault = self.faults.pop(0)
            getattr(self, fault.do)(fault.site)
        yield from self._tell()
        yield from self._work()

    def _tell(self) -> Iterator[Event]:
        while self.news:
            yield self.news.pop(0)

    def _work(self) -> Iterator[Event]:
        for name, sim in self.sims.items():
            while sim.here and sim.tasks and sim.tasks[0][1] <= self.now:
                task, _ = sim.tasks.pop(0)
                yield Received(name, task.task_id)
                yield self._answer(name, sim, task)

    def _answer(self, name: str, sim: Sim, task: RoundInput) -> Event:
        try:
            if sim.fails and task.kind != "describe":
                sim.fails = False
                raise SiteCodeFailed("RuntimeError in train", where="notebook cell 7, line 3")
            output = self._output(sim, task)
        except NbfedError as error:
            return Failed(name, task.task_id, SiteFailure(error.code, error.what, error.where))
        return Replied(name, output, 1000, 1000, WORK_SECONDS * sim.slow)

    def _output(self, sim: Sim, task: RoundInput) -> RoundOutput:
        if task.kind == "canary":
            return RoundOutput(task.task_id, task.kind, task.round, seconds={"canary": 0.5, "round": 4.0})
        output: RoundOutput = sim.handler(task)
        if output.card is not None:
            return replace(output, card=replace(output.card, unfit=sim.unfit))
        if sim.forges and task.kind == "train" and output.arrays is not None:
            sim.forges = False
            return replace(output, arrays={**output.arrays, "w": output.arrays["w"][:2]})
        return output

    def discard(self, reply: Replied) -> None:
        """Nothing to free."""

    def cancel(self, task_id: str) -> None:
        for sim in self.sims.values():
            sim.tasks = [item for item in sim.tasks if item[0].task_id != task_id]

    def close(self) -> None:
        """Nothing to close."""

    # -- faults --------------------------------------------------------------------------------

    def lose(self, name: str) -> None:
        if self.sims[name].here:
            self.sims[name].here = False
            self.news.append(Lost(name))

    def back(self, name: str) -> None:
        sim = self.sims[name]
        if not sim.here:
            sim.here = True
            self.news.append(Joined(name, str(sim.instance)))

    def restart(self, name: str) -> None:
        sim = self.sims[name]
        sim.here, sim.tasks, sim.instance = True, [], sim.instance + 1
        self.news.append(Joined(name, str(sim.instance)))

    def fail(self, name: str) -> None:
        self.sims[name].fails = True

    def forge(self, name: str) -> None:
        self.sims[name].forges = True

    def slow(self, name: str) -> None:
        self.sims[name].slow = 40.0

    def hasten(self, name: str) -> None:
        self.sims[name].slow = 1.0

    def spoil(self, name: str) -> None:
        """The data is not what it was; the site notices when it starts anew."""
        self.sims[name].unfit = ("12 samples, 30 are needed.",)
        self.restart(name)

    def mend(self, name: str) -> None:
        self.sims[name].unfit = ()
        self.restart(name)

    def waive(self, name: str) -> None:
        self.orders = replace(self.orders, waived={**self.orders.waived, name: "a small hospital"})

    def remove(self, name: str) -> None:
        self._members(set(self.orders.sites) - {name})
        self.sims[name].tasks = []

    def add(self, name: str) -> None:
        self._members({*self.orders.sites, name})

    def _members(self, names: set[str]) -> None:
        self.orders = replace(self.orders, sites=tuple(sorted(names)))

    def pause(self, _: str) -> None:
        self.orders = replace(self.orders, paused=True)

    def go_on(self, _: str) -> None:
        self.orders = replace(self.orders, paused=False)

    def stop(self, _: str) -> None:
        self.orders = replace(self.orders, stopped=True)


def world(handlers: Mapping[str, Any], faults: Sequence[Fault] = (), members: str = "abc") -> World:
    """A world where the sites of ``handlers`` are connected, and ``members`` belong to the federation."""
    return World(
        {name: Sim(handler) for name, handler in handlers.items()}, list(faults), Orders(tuple(members))
    )
