"""How long the author waits: ``nbfed --help`` and ``nbfed check``, beside a bare Python start.

Every command runs once before it is timed, with bytecode kept as an installation keeps it.
Usage: ``python benchmarks/command.py``
"""

import os
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


def installed(folder: Path) -> dict[str, str]:
    """The environment of a command that finds its bytecode, here kept in ``folder``."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Median wall-clock seconds of a command."""
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, env=environment)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = installed(folder)
        example = folder / "example.ipynb"
        new = [*NBFED, "new", str(example), "--example", "breast-cancer"]
        subprocess.run(new, capture_output=True, check=True)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "nbfed --help": [*NBFED, "--help"],
            "nbfed check, example": [*NBFED, "check", str(example)],
            "nbfed check, 100 cells": [*NBFED, "check", str(hundred_cells(folder))],
        }
        rows = {title: seconds(command, environment) for title, command in commands.items()}
    bare = rows["python -c pass"]
    for name, value in rows.items():
        print(f"{name:<26} {value:6.3f} s  {value / bare:6.1f} times a bare Python start")


if __name__ == "__main__":
    main()
