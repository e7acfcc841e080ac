"""The whole fault matrix, as a table: ``python -m tests.lab.matrix [--only WORDS] [--jobs N]``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from .experiment import Bench, Result
from .moments import MOMENTS, PUSHING
from .outcomes import KINDS, QUORATE, SAME, STOPS, Cell
from .registry_experiment import counter
from .store import NAME
from .table import ROWS, cells

SHORT = {SAME: "same", QUORATE: "quorum", STOPS: "stops"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; non-zero if a cell did not end as it must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cells whose name holds these words, / between them")
    parser.add_argument("--jobs", type=int, default=4, help="cells at a time; most of each is waiting")
    options = parser.parse_args(arguments)
    chosen = [cell for cell in cells() if cell.fault and matches(cell, options.only)]
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="nbfed-faults-"))
    results = try_out(chosen, folder, options.jobs)
    print(table(results))
    failed = sum(bool(result.problem) for result in results)
    print(f"\n{len(results)} cells, {failed} failed, {time.monotonic() - began:.0f} s")
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return int(failed > 0)


def try_out(chosen: Sequence[Cell], folder: Path, jobs: int) -> list[Result]:
    """Do the experiments, some at a time, and tell of each; those that cannot be done here are left out."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        runs = [cell for cell in chosen if cell.place != NAME]
        others = [cell for cell in chosen if cell.place == NAME]
        done = []
        if runs:
            bench = Bench.make(folder)
            stack.callback(bench.nursery.close)
            done += list(pool.map(told(bench.try_out), runs))
        if others:
            desk = stack.enter_context(counter(folder / NAME))
            here = [cell for cell in others if not desk.lacks(cell)]
            for reason in sorted({desk.lacks(cell) for cell in others} - {""}):
                print(f"left out: {sum(desk.lacks(cell) == reason for cell in others)} cells: {reason}")
            done += list(pool.map(told(desk.try_out), here))
        return done


def told(try_out: Callable[[Cell], Result]) -> Callable[[Cell], Result]:
    """The same, with a line on each."""

    def one(cell: Cell) -> Result:
        result = try_out(cell)
        line = f"{cell.place} / {cell.kind} / {cell.moment}: {SHORT[cell.outcome.what]}"
        print(f"{'FAILED' if result.problem else 'ok    '} {result.seconds:5.1f} s  {line}", flush=True)
        if result.problem:
            print(result.problem, flush=True)
        return result

    return one


def matches(cell: Cell, words: str) -> bool:
    """Whether a cell is one of those asked for."""
    name = f"{cell.place} {cell.kind} {cell.moment}"
    return all(word.strip() in name for word in words.split("/"))


def table(results: Sequence[Result]) -> str:
    """All cells: the outcome and the seconds, or a dot where there is nothing to be tried."""
    found = {(one.cell.place, one.cell.kind, one.cell.moment): one for one in results}
    moments = (PUSHING, *MOMENTS)
    lines = ["", f"{'':34}" + "".join(f"{moment:16}" for moment in moments)]
    for place in ROWS:
        for kind in KINDS:
            shown = [shown_as(found.get((place, kind, moment))) for moment in moments]
            lines.append(f"{place:8} {kind:25}" + "".join(f"{text:16}" for text in shown).rstrip())
    reasons = dict.fromkeys(f"  {cell.place} / {cell.kind}: {cell.why}" for cell in cells() if cell.why)
    return "\n".join([*lines, "", ". not applicable:", *reasons])


def shown_as(result: Result | None) -> str:
    """One field of the table."""
    if result is None:
        return "."
    mark = "FAILED" if result.problem else SHORT[result.cell.outcome.what]
    return f"{mark} {result.seconds:.0f}"


if __name__ == "__main__":
    sys.exit(main())
