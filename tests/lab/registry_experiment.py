"""One of the registry's cells, done and judged."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from .experiment import Result
from .faults import Fault
from .moments import PUSHING
from .outcomes import STOPS, Cell
from .parts import Hang
from .pulling import Engine, Finished, NotHere, Pull, docker_engine, pulling
from .pushing import Author, Push
from .store import STRIKE_SECONDS, Store, why_not


@dataclass(frozen=True)
class Counter:
    """What the registry's experiments share: an author's desk, and an engine of sites.

    Attributes:
        engine: None where this machine has none; ``missing`` says why.
        turn: one site at a time; an engine loads three layers at once, whoever asks, and one that is stuck
            keeps its place.
    """

    folder: Path
    author: Author | None
    engine: Engine | None
    missing: str = ""
    turn: threading.Lock = field(default_factory=threading.Lock)

    def lacks(self, cell: Cell) -> str:
        """Why a cell cannot be tried here; empty where it can."""
        return self.missing if (self.author if cell.moment == PUSHING else self.engine) is None else ""

    def try_out(self, cell: Cell) -> Result:
        """Do one experiment."""
        problem = ""
        try:
            with self.turn if cell.moment != PUSHING else nullcontext():
                began = time.monotonic()
                self._try_out(cell)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        return Result(cell, time.monotonic() - began, problem)

    def _try_out(self, cell: Cell) -> None:
        assert cell.fault is not None
        fault = cell.fault()
        folder = self.folder / re.sub(r"\W+", "-", f"{cell.kind}-{cell.moment}")
        with ExitStack() as stack:
            store = Store(folder / "registry", self._host(cell), bool(fault.disks))
            stack.callback(store.close)
            trial = stack.enter_context(self._trial(cell, folder, store))
            found = struck(trial, store, fault)
            if cell.outcome.what != STOPS:
                trial.check_done(found)
                return
            said = trial.check_refused(found)
            assert found.returncode == cell.outcome.code, f"it ended with {found.returncode}: {said}"
            for _, words in cell.outcome.says:
                assert re.search(words, said, re.S), f"it does not say {words!r}: {said}"
            trial.check_done(trial.attempt())

    def _host(self, cell: Cell) -> str:
        """Docker asks an address of the loopback for no certificate: it has to be another one."""
        if cell.moment == PUSHING or self.engine is None or self.engine.name != "docker":
            return "127.0.0.1"
        words = ("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
        return self.engine(*words).stdout.strip()

    @contextmanager
    def _trial(self, cell: Cell, folder: Path, store: Store) -> Iterator[Pull | Push]:
        if cell.moment == PUSHING:
            assert self.author is not None
            yield Push(self.author, store)
        else:
            assert self.engine is not None
            with pulling(self.engine, folder / "site", store) as made:
                yield made


def struck(trial: Pull | Push, store: Store, fault: Fault) -> Finished:
    """What came of an attempt with the fault in its middle; mended after its seconds, else afterwards."""
    fault.prepare(store)
    moment = None if fault.silent else store.when(trial.direction, trial.middle, fault.strike)
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(trial.attempt)
        if moment is not None and not moment.wait(STRIKE_SECONDS):
            raise Hang(f"the middle never came: {attempt.result()}")
        if fault.seconds:
            time.sleep(fault.seconds)
            fault.mend(store)
        found = attempt.result()
    if not fault.seconds:
        fault.mend(store)
    return found


@contextmanager
def counter(folder: Path) -> Iterator[Counter]:
    """All that this machine can have of it."""
    if reason := why_not():
        yield Counter(folder, None, None, reason)
        return
    with ExitStack() as stack:
        author = stack.enter_context(Author.at_work(folder / "author"))
        try:
            engine, missing = stack.enter_context(docker_engine()), ""
        except NotHere as error:
            engine, missing = None, str(error)
        yield Counter(folder, author, engine, missing)
