"""How long the author waits: ``nbfed --help`` and ``nbfed check``, beside a bare Python start.

Usage: ``python benchmarks/command.py``
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

REPEATS = 7
NBFED = [sys.executable, "-m", "notebook_federator.cli"]
FIXTURE = Path(__file__).resolve().parents[1] / "tests/fixtures/notebooks/paper_2022.ipynb"


def seconds(command: list[str]) -> float:
    """Median wall-clock seconds of a command."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def hundred_cells(folder: Path) -> Path:
    """The paper's notebook, grown to 100 cells with numbered copies of its helper cells."""
    document = nbformat.read(FIXTURE, as_version=4)
    cells = list(document.cells)
    while len(document.cells) < 100:
        number = len(document.cells)
        text = cells[number % len(cells)].source.replace("def ", f"def _{number}_")
        extra = f"extra_{number} = [value * {number} for value in range(10)]\n"
        document.cells.append(nbformat.v4.new_code_cell(extra + f"text_{number} = {text!r}"))
    path = folder / "hundred.ipynb"
    nbformat.write(document, path)
    return path


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = hundred_cells(Path(folder))
        bare = seconds([sys.executable, "-c", "pass"])
        rows = {
            "python -c pass": bare,
            "nbfed --help": seconds([*NBFED, "--help"]),
            "nbfed check, 100 cells": seconds([*NBFED, "check", str(notebook)]),
        }
    for name, value in rows.items():
        print(f"{name:<26} {value:6.3f} s  {value / bare:6.1f} times a bare Python start")


if __name__ == "__main__":
    main()
