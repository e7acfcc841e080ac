"""One cell of the matrix, done and judged."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from .laboratory import Laboratory, laboratory
from .moments import PAUSES, strike
from .outcomes import QUORATE, SAME, STOPS, Cell
from .parts import Nursery
from .workshop import ROUNDS, Workshop

SECONDS = 100.0


@dataclass(frozen=True)
class Result:
    """How it went; ``problem`` is empty where all is as it must be."""

    cell: Cell
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Bench:
    """What experiments share: one slice, one warm parent, and the model of an undisturbed run."""

    folder: Path
    workshop: Workshop
    nursery: Nursery
    model: str

    @classmethod
    def make(cls, folder: Path) -> Bench:
        """Prepare, and run once without any fault."""
        nursery, workshop = Nursery(), Workshop.make(folder)
        with laboratory(folder / "undisturbed", workshop, nursery) as lab:
            lab.start()
            assert lab.server.wait(SECONDS) == 0, lab.server.log
            lab.check()
            return cls(folder, workshop, nursery, lab.model())

    def try_out(self, cell: Cell) -> Result:
        """Do one experiment."""
        assert cell.fault is not None
        began = time.monotonic()
        name = re.sub(r"\W+", "-", f"{cell.place}-{cell.kind}-{cell.moment}")
        fault = cell.fault()
        made = laboratory(
            self.folder / name, self.workshop, self.nursery, wishes=fault.wishes,
            pauses=PAUSES.get(cell.moment, {}), disks=fault.disks,
        )  # fmt: skip
        problem = ""
        try:
            with made as lab:
                fault.prepare(lab)
                strike(lab, cell.moment, lambda: fault.strike(lab), fault.silent)
                time.sleep(fault.seconds)
                fault.mend(lab) if not fault.again else None
                code = lab.server.wait(SECONDS)
                if fault.again:
                    assert code == 1, f"the server ended with {code}"
                    fault.mend(lab)
                    code = lab.server.start().wait(SECONDS)
                judge(self, cell, lab, code)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        return Result(cell, time.monotonic() - began, problem)


def judge(bench: Bench, cell: Cell, lab: Laboratory, code: int | None) -> None:
    """Compare what came of it with what must."""
    lab.check()
    wanted = cell.outcome
    said = f"\nserver: {lab.server.log[-1500:]}\nb: {lab.sites['b'].log[-1500:]}"
    assert code == wanted.code, f"the server ended with {code}, not {wanted.code}{said}"
    assert lab.finished() == (wanted.what != STOPS), f"finished: {lab.finished()}{said}"
    rounds = {one["round"]: sorted(one["weights"]) for one in lab.entries("round_finished")}
    if wanted.what == SAME:
        assert set(rounds) == set(range(1, ROUNDS + 1)), rounds
        assert all(names == ["a", "b", "c"] for names in rounds.values()), rounds
        assert lab.model() == bench.model, "another model"
    if wanted.what == QUORATE:
        assert set(rounds) == set(range(1, ROUNDS + 1)), rounds
        assert all({"a", "c"} <= set(names) for names in rounds.values()), rounds
        assert any("b" not in names for names in rounds.values()), f"b was never missing: {rounds}"
    for who, words in wanted.says:
        assert re.search(words, lab.words(who), re.S), f"{who} does not say {words!r}{said}"
