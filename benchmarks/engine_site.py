"""A light site for the engine benchmark: copies the arrays into a model of its own and changes them."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from nbfed_site.contracts import Array, Evaluation, RoundInput, RoundOutput, SiteFailure
from nbfed_site.link import LinkSettings, run

MODEL: dict[str, Array] = {}
STEP = [np.float32(0)]  # differs between sites: equal replies would be sent once only
SPANS: dict[str, float] = {"link_seconds": 0.0, "handle_seconds": 0.0}


def handle(task: RoundInput) -> RoundOutput:
    begun = time.perf_counter()
    for name, array in (task.arrays or {}).items():
        if name not in MODEL:
            MODEL[name] = np.empty_like(array)
        np.add(array, STEP[0], out=MODEL[name])
    SPANS["handle_seconds"] += time.perf_counter() - begun
    evaluation = Evaluation(10, {"loss": 1.0, "accuracy": 0.5}) if task.config.get("evaluate") else None
    return RoundOutput(
        task.task_id, task.kind, task.round, num_examples=10, evaluation=evaluation, arrays=MODEL
    )


def describe(error: BaseException) -> SiteFailure:
    return SiteFailure("NE601", repr(error), exception=type(error).__name__)


def peak_megabytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def main(server: str, name: str, key: str, wire: str) -> None:
    settings = LinkSettings(server, name, Path(key), wire=wire, give_up_seconds=30)  # type: ignore[arg-type]
    STEP[0] = np.float32(1e-3 * (1 + int(name.rpartition("-")[2])))
    used = time.process_time()
    events: list[str] = []
    run(settings, handle, threading.Event(), lambda kind, facts: events.append(kind), describe)
    SPANS["cpu_seconds"] = time.process_time() - used
    SPANS["system_seconds"] = os.times().system
    print(json.dumps({"site": name, "peak_mb": peak_megabytes(), **SPANS}))


if __name__ == "__main__":
    main(*sys.argv[1:])
