"""Many sites on one machine: the real site program in processes of their own, numpy for a notebook."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbfed_site.link  # noqa: F401 (read once, for all)
import numpy as np
from nbfed_site import __main__ as site
from nbfed_site import program, up
from nbfed_site.contracts import Array, ArraySpec, Evaluation, SiteCard

FLOATS = 25_000


class Numpy:
    """In the place of a program that a notebook was cut to: trains nothing, in no time."""

    def __init__(self, folder: Path, *_: Any) -> None:
        self.manifest = program.read_slice(folder).manifest
        self._step = np.float32(1e-3 * (1 + os.getpid() % 97))

    def prepare(self, seed: int, wished: Mapping[str, Any]) -> SiteCard:
        counts = {"train": {"0": 30, "1": 30}, "test": {"0": 15, "1": 15}}
        specs = (ArraySpec("w", (FLOATS,), "float32"),)
        return SiteCard({"train": 60, "test": 30}, counts, {"train": 0, "test": 0}, specs)

    def initial(self, seed: int) -> dict[str, Array]:
        return {"w": np.random.default_rng(seed).standard_normal(FLOATS).astype(np.float32)}

    def fit(self, arrays: Mapping[str, Array], config: Any) -> tuple[dict[str, Array], int]:
        return {name: array + self._step for name, array in arrays.items()}, 60

    def evaluate(self, arrays: Any, config: Any, split: str = "test") -> Evaluation:
        return Evaluation(30, {"loss": 1.0, "accuracy": 0.5}, ((10, 5), (10, 5)), ("0", "1"))


def main(folder: str, slice_folder: str, *names: str) -> None:
    """Fork one process for each site, and wait for all; prints how each ended."""
    program.Program = up.__dict__["Program"] = Numpy  # type: ignore[misc]
    children = {}
    for name in names:
        child = os.fork()
        if child == 0:
            os._exit(take_part(Path(folder), slice_folder, name))
        children[child] = name
    for _ in names:
        child, status = os.wait()
        print(f"{children[child]} {os.waitstatus_to_exitcode(status)}", flush=True)


def take_part(folder: Path, slice_folder: str, name: str) -> int:
    """Be one site."""
    scratch = folder / "sites" / name
    scratch.mkdir(parents=True)
    log = os.open(scratch / "log.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    kit = folder / "federation/kits" / name
    words = ["--kit", str(kit), "--scratch", str(scratch), "--slice", slice_folder, "--give-up", "60"]
    try:
        return site.main(["up", "--format", "json", *words])
    finally:
        status = Path("/proc/self/status").read_text()
        (scratch / "peak").write_text(status.split("VmHWM:")[1].split()[0])
        time.sleep(0)
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
