"""Seconds, memory and bytes of one federated round: this engine, a plain loop, and Flower as shipped.

    python benchmarks/engine.py --megabytes 550 --sites 3 --rounds 3 [--wire bf16] [--stock]

A round sends the model to every site, changes it there, and averages what comes back. The sites are
processes of their own; the server is one. Peak memory is the kernel's VmHWM of each process. The best
round is shown beside the median: other work on the machine only ever adds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from engine_server import make_model
from engine_stock import stock
from notebook_federator.aggregation import make_strategy

HERE = Path(__file__).parent
TRAIN_ONLY_ABOVE_MB = 100


def engine(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the server of the benchmark, which starts the sites; what they all said."""
    command = [sys.executable, str(HERE / "engine_server.py")]
    numbers = [arguments.megabytes, arguments.sites, arguments.rounds + 1, arguments.wire]
    output = subprocess.run(
        [*command, *map(str, numbers)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    facts = [json.loads(line) for line in output.splitlines()]
    rounds = [fact for fact in facts if "round" in fact][1:]  # the first one warms up
    sites = [fact for fact in facts if "site" in fact]
    server = next(fact for fact in facts if "base_mb" in fact)
    threads = next(fact for fact in facts if "MainThread" in fact)
    return {"rounds": rounds, "sites": sites, "server": server, "threads": threads}


def plain_loop(megabytes: float, sites: int, rounds: int) -> list[float]:
    """The same arithmetic in one process: no transport, nothing on disk."""
    model = make_model(megabytes)
    local = {name: np.empty_like(array) for name, array in model.items()}
    strategy = make_strategy({"name": "fedavg"})
    seconds = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        strategy.begin(model)
        for site in range(sites):
            for name, array in model.items():
                np.add(array, np.float32(1e-3 * (1 + site)), out=local[name])
            strategy.add(local, 10)
        model = strategy.finish()
        seconds.append(time.perf_counter() - begun)
    return seconds[1:]


def primitives() -> dict[str, float]:
    """What one thread of this machine does, in MB/s: the limits of everything above."""
    import hashlib
    import os

    data = np.random.default_rng(1).bytes(64 << 20)
    target = bytearray(len(data))

    def rate(work: Any) -> float:
        work()
        begun = time.perf_counter()
        work()
        return len(data) / 1e6 / (time.perf_counter() - begun)

    with tempfile.TemporaryFile() as file:
        return {
            "hash (SHA-256)": rate(lambda: hashlib.sha256(data).digest()),
            "copy in memory": rate(lambda: memoryview(target).__setitem__(slice(None), data)),
            "write to a file": rate(lambda: os.pwrite(file.fileno(), data, 0)),
            "read from a file": rate(lambda: os.preadv(file.fileno(), [target], 0)),
        }


def show(title: str, seconds: list[float], more: str = "") -> None:
    best, median = min(seconds), statistics.median(seconds)
    print(f"{title:42} best {best:8.3f} s   median {median:8.3f} s   {more}")


def breakdown(found: dict[str, Any], count: int) -> None:
    """CPU seconds per round by what they went into; wall time has 2 cores' worth of these at best."""
    names = {
        "MainThread": "server: aggregate",
        "fleet": "server: HTTP (one thread)",
        "uvloop": "server: hash, file write and read",
        "asyncio": "server: hash, file write and read",
        "hash": "server: hash and write the model sent",
    }
    total = 0.0
    for thread, (user, system) in sorted(found["threads"].items()):
        if thread in names:
            total += user + system
            print(f"    {names[thread]:42} {user / count:6.3f} user {system / count:6.3f} system")
    sites = sum(site["cpu_seconds"] for site in found["sites"])
    handling = sum(site["handle_seconds"] for site in found["sites"])
    print(f"    {'sites, together: HTTP, hash, copy':42} {sites / count:6.3f}")
    print(f"    {'  of which the stand-in for training':42} {handling / count:6.3f} (wall)")
    print(f"    {'sum':42} {(total + sites) / count:6.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=0.1)
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wire", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--stock", action="store_true", help="also measure Flower as shipped")
    parser.add_argument("--stock-seconds", type=float, default=1800, help="give Flower up after so long")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    arguments = parser.parse_args()

    found = engine(arguments)
    rounds, server = found["rounds"], found["server"]
    print(f"{arguments.megabytes:g} MB float32, {arguments.sites} sites, wire {arguments.wire}")
    moved = statistics.median(item["megabytes"] for item in rounds)
    show("this engine", [item["total"] for item in rounds], f"{moved:,.1f} MB on the wire a round")
    best = min(rounds, key=lambda item: item["total"])
    print("    best round: " + ", ".join(f"{k} {best[k]:.3f}" for k in ("send", "down", "aggregate")))
    peaks = [site["peak_mb"] for site in found["sites"]]
    print(f"    peak memory: server {server['peak_mb']} MB, a site {max(peaks)} MB")
    print("    CPU seconds a round:")
    breakdown(found, arguments.rounds + 1)
    found["plain"] = plain_loop(arguments.megabytes, arguments.sites, arguments.rounds)
    show("plain loop in one process", found["plain"])
    found["primitives"] = primitives()
    print(
        "    one thread: "
        + ", ".join(f"{name} {speed:,.0f} MB/s" for name, speed in found["primitives"].items())
    )
    if arguments.stock:
        evaluate = arguments.megabytes <= TRAIN_ONLY_ABOVE_MB
        found["stock"] = stock(
            arguments.megabytes, arguments.sites, arguments.rounds, evaluate, arguments.stock_seconds
        )
        what = "train + evaluate" if evaluate else "train only"
        show(f"Flower as shipped, {what}", found["stock"]["seconds"])
        memory = found["stock"]["peak_mb"]
        print("    peak memory: " + ", ".join(f"{name} {size} MB" for name, size in memory.items()))
        faster = min(found["stock"]["seconds"]) / best["total"]
        both = memory["superlink"] + memory["serverapp"]
        print(
            f"    ratio: {faster:.1f} times the time, {both / server['peak_mb']:.1f} times the server memory"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
