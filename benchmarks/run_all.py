"""All benchmarks, one after the other; each prints the command that repeats it.

Usage: ``python benchmarks/run_all.py``. Takes about 30 minutes on 2 cores, and 6 GB of memory and
4 GB of disk for Flower as shipped at 550 MB.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNS = (
    ["command.py"],
    ["wire.py"],
    ["gain.py"],
    ["images.py"],
    ["fifty.py"],
    ["engine.py", "--megabytes", "0", "--sites", "3", "--rounds", "5", "--stock"],
    ["engine.py", "--megabytes", "100", "--sites", "3", "--rounds", "3", "--stock"],
    ["engine.py", "--megabytes", "100", "--sites", "8", "--rounds", "3"],
    ["engine.py", "--megabytes", "550", "--sites", "3", "--rounds", "3", "--wire", "bf16"],
    ["engine.py", "--megabytes", "550", "--sites", "3", "--rounds", "3", "--stock"],
)


def main() -> int:
    """Run them; non-zero if one failed."""
    failed = 0
    for words in RUNS:
        command = [sys.executable, str(HERE / words[0]), *words[1:]]
        print(f"\n$ python benchmarks/{' '.join(words)}", flush=True)
        failed += subprocess.run(command, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
