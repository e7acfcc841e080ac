"""What bf16 on the wire saves and costs on the demo: bytes, seconds, and the effect on the result.

Usage: ``python benchmarks/wire.py [SEEDS]`` (default 3 seeds)
"""

import sys
import tempfile
from pathlib import Path

import notebook_federator as nf
from notebook_federator import templates
from notebook_federator.report import table
from notebook_federator.running import shown


def measure(notebook: Path, wire: str, seed: int, out: Path) -> tuple[float, float, float]:
    """Accuracy and F1 of the last round on the shared test set, and megabytes on the wire."""
    with shown("none") as progress:
        run = nf.run(notebook, sites=3, wire=wire, seed=seed, out=out, progress=progress)
    record = run.record
    row = next(row for row in table(record) if row.model == "federation" and row.test_set is None)
    moved = sum(site.bytes_up + site.bytes_down for item in record.rounds for site in item.sites)
    return row.scores["accuracy"].value or 0.0, row.scores["f1"].value or 0.0, moved / 1e6


def main() -> None:
    """Measure and print."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notebook = templates.write(folder / "demo.ipynb", "breast-cancer")
        print(f"{'wire':<6}{'seed':>5}{'accuracy':>10}{'F1':>8}{'MB':>8}")
        for wire in ("fp32", "bf16"):
            for seed in seeds:
                accuracy, f1, moved = measure(notebook, wire, seed, folder / f"{wire}-{seed}")
                print(f"{wire:<6}{seed:>5}{accuracy:>10.4f}{f1:>8.4f}{moved:>8.3f}")


if __name__ == "__main__":
    main()
