"""What the federation gains over each institution alone on the demo, over several seeds.

Usage: ``python benchmarks/gain.py [SEEDS]`` (default 5 seeds)
"""

import statistics
import sys
import tempfile
from pathlib import Path

import notebook_federator as nf
from notebook_federator import templates
from notebook_federator.report import table
from notebook_federator.running import shown

SCORES = ("sensitivity", "specificity", "f1", "accuracy")


def scores(notebook: Path, seed: int, out: Path) -> dict[str, dict[str, float]]:
    """Scores on the shared test set of the federation's last model and of each institution's own."""
    with shown("none") as progress:
        run = nf.run(notebook, sites=3, seed=seed, alone=True, out=out, progress=progress)
    rows = [row for row in table(run.record) if row.test_set is None and row.model != "federation best"]
    return {row.title: {name: row.scores[name].value or 0.0 for name in SCORES} for row in rows}


def main() -> None:
    """Measure and print mean and standard deviation over the seeds."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as name:
        notebook = templates.write(Path(name) / "demo.ipynb", "breast-cancer")
        runs = [scores(notebook, seed, Path(name) / str(seed)) for seed in range(seeds)]
    print(f"{'model':<16}" + "".join(f"{score:>18}" for score in SCORES))
    for model in runs[0]:
        cells = []
        for score in SCORES:
            values = [run[model][score] for run in runs]
            cells.append(f"{statistics.mean(values):>10.3f} ± {statistics.stdev(values):.3f}")
        print(f"{model:<16}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
