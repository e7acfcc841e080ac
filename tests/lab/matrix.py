"""The whole fault matrix, as a table: ``python -m tests.lab.matrix [--only WORDS] [--jobs N]``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .experiment import Bench, Result
from .moments import MOMENTS
from .table import KINDS, QUORATE, ROWS, SAME, STOPS, Cell, cells

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
    bench = Bench.make(folder)

    def one(cell: Cell) -> Result:
        result = bench.try_out(cell)
        line = f"{cell.place} / {cell.kind} / {cell.moment}: {SHORT[cell.outcome.what]}"
        print(f"{'FAILED' if result.problem else 'ok    '} {result.seconds:5.1f} s  {line}", flush=True)
        if result.problem:
            print(result.problem, flush=True)
        return result

    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(one, chosen))
    print(table(results))
    failed = sum(bool(result.problem) for result in results)
    print(f"\n{len(results)} cells, {failed} failed, {time.monotonic() - began:.0f} s")
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return int(failed > 0)


def matches(cell: Cell, words: str) -> bool:
    """Whether a cell is one of those asked for."""
    name = f"{cell.place} {cell.kind} {cell.moment}"
    return all(word.strip() in name for word in words.split("/"))


def table(results: Sequence[Result]) -> str:
    """All cells: the outcome and the seconds, or a dot where there is nothing to be tried."""
    found = {(one.cell.place, one.cell.kind, one.cell.moment): one for one in results}
    lines = ["", f"{'':34}" + "".join(f"{moment:16}" for moment in MOMENTS)]
    for place in ROWS:
        for kind in KINDS:
            shown = [shown_as(found.get((place, kind, moment))) for moment in MOMENTS]
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
