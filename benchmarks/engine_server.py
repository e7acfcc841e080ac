"""The server of the engine benchmark: rounds of FedAvg over the real transport, as one process."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from engine_site import peak_megabytes
from nbfed_site.contracts import Array, RoundInput
from nbfed_site.link import generate_key
from notebook_federator.aggregation import Strategy, make_strategy
from notebook_federator.rounds.flower import FlowerTransport
from notebook_federator.rounds.port import Joined, Received, Replied


def make_model(megabytes: float) -> dict[str, Array]:
    """float32 arrays: one of 70 % of the size (as in VGG16), and the rest in equal parts."""
    total = max(int(megabytes * 1e6 / 4), 40)
    sizes = [int(total * 0.7)] + [int(total * 0.3 / 13)] * 13
    rng = np.random.default_rng(7)
    return {f"layer{i}": rng.standard_normal(size, dtype=np.float32) for i, size in enumerate(sizes)}


def one_round(
    transport: FlowerTransport,
    strategy: Strategy,
    number: int,
    model: list[dict[str, Array]],
    names: list[str],
) -> dict[str, float]:
    """Send ``model[0]`` out, let it go, and put the mean of the replies in its place."""
    begun = time.perf_counter()
    spans = {"aggregate": 0.0}
    strategy.begin(model[0])
    transport.send(RoundInput(f"train-{number}", "train", number, model.pop(), {"evaluate": True}), names)
    spans["send"] = time.perf_counter() - begun
    waiting = set(names)
    moved = 0
    while waiting:
        for event in transport.events(1.0):
            if isinstance(event, Received):
                spans["down"] = time.perf_counter() - begun - spans["send"]
            elif isinstance(event, Replied):
                waiting.discard(event.site)
                moved += event.bytes_down + event.bytes_up
                started = time.perf_counter()
                strategy.add(event.output.arrays or {}, event.output.num_examples)
                transport.discard(event)
                spans["aggregate"] += time.perf_counter() - started
    started = time.perf_counter()
    model.append(strategy.finish())
    spans["aggregate"] += time.perf_counter() - started
    spans["total"] = time.perf_counter() - begun
    spans["megabytes"] = moved / 1e6
    return spans


def used_since(before: dict[str, list[float]]) -> dict[str, list[float]]:
    """CPU seconds by kind of thread since ``before``."""
    none = [0.0, 0.0]
    return {
        name: [now - then for now, then in zip(after, before.get(name, none), strict=True)]
        for name, after in threads_cpu().items()
    }


def sites(address: str, folder: Path, names: list[str], wire: str) -> Iterator[subprocess.Popen[str]]:
    program = Path(__file__).with_name("engine_site.py")
    for name in names:
        command = [sys.executable, str(program), address, name, str(folder / name), wire]
        yield subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def threads_cpu() -> dict[str, list[float]]:
    """CPU seconds (user, system) of this process by kind of thread."""
    total: dict[str, list[float]] = {}
    tick = os.sysconf("SC_CLK_TCK")
    names = {thread.native_id: thread.name.rstrip("0123456789_") for thread in threading.enumerate()}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        entry = total.setdefault(names.get(int(task.name), "other"), [0.0, 0.0])
        entry[0] += int(fields[11]) / tick
        entry[1] += int(fields[12]) / tick
    return total


def main(megabytes: str, count: str, rounds: str, wire: str) -> None:
    names = [f"site-{i}" for i in range(int(count))]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        keys = {name: generate_key(folder / name) for name in names}
        transport = FlowerTransport("127.0.0.1", 0, keys, folder / "spool", wire=wire)  # type: ignore[arg-type]
        processes = list(sites(transport.address, folder, names, wire))
        joined: set[str] = set()
        while len(joined) < len(names):
            joined |= {event.site for event in transport.events(1.0) if isinstance(event, Joined)}
        model, strategy = [make_model(float(megabytes))], make_strategy({"name": "fedavg"})
        base, before = peak_megabytes(), threads_cpu()
        for number in range(1, int(rounds) + 1):
            spans = one_round(transport, strategy, number, model, names)
            print(json.dumps({"round": number, **spans}), flush=True)
        print(json.dumps({"peak_mb": peak_megabytes(), "base_mb": base}))
        print(json.dumps(used_since(before)))
        transport.close()
        for process in processes:
            print(process.communicate(timeout=30)[0], end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
