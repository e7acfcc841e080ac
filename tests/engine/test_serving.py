"""What the server image's program takes along, and what it refuses to begin with."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "packages/federator/src/notebook_federator"


def test_the_server_needs_its_own_rooms_alone(tmp_path: Path) -> None:
    package = tmp_path / "lib/notebook_federator"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "__init__.py", package)
    for room in ("aggregation", "rounds", "ledger", "federation"):
        shutil.copytree(ROOT / room, package / room)
    program = f"""
import sys
sys.path.insert(0, {str(package.parent)!r})
import notebook_federator.federation.serving as serving
early = {{"flwr", "torch", "fastapi"}} & set(sys.modules)
import notebook_federator.federation.server, notebook_federator.rounds.flower
late = {{"torch", "nbformat", "matplotlib", "IPython", "sklearn"}} & set(sys.modules)
own = {{name.split(".")[1] for name in sys.modules if name.startswith("notebook_federator.")}}
import os
print(serving.__file__, early, late, sorted(own), os.environ["FLWR_TELEMETRY_ENABLED"])
"""
    made = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    rooms = ["aggregation", "federation", "ledger", "rounds"]
    assert made.stdout.split(" ", 1)[1].strip() == f"set() set() {rooms} 0"
    assert made.stdout.startswith(str(package))
