"""Flower as shipped, for comparison: SuperLink, SuperNodes and ``flwr run`` on a tiny generated app.

Nothing is downloaded: run-time installation is switched off, and the app has no dependency of its own.
"""

import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

BIN = Path(sys.executable).parent

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "stockbench"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "nbfed"

[tool.flwr.app.components]
serverapp = "stockbench.server_app:app"
clientapp = "stockbench.client_app:app"

[tool.flwr.app.config]
megabytes = {megabytes}
sites = {sites}
rounds = {rounds}
evaluate = {evaluate}
facts = "{facts}"
"""

SHARED = """
import json, time
from pathlib import Path
import numpy as np

def make_model(megabytes):
    total = max(int(megabytes * 1e6 / 4), 40)
    sizes = [int(total * 0.7)] + [int(total * 0.3 / 13)] * 13
    rng = np.random.default_rng(7)
    return [rng.standard_normal(size, dtype=np.float32) for size in sizes]

def note(path, **facts):
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
    with open(path, "a") as file:
        file.write(json.dumps({**facts, "at": time.time(), "peak_mb": peak}) + "\\n")
"""

SERVER = """
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from stockbench.shared import make_model, note

app = ServerApp()

class Timed(FedAvg):
    def configure_train(self, server_round, arrays, config, grid):
        note(self.facts, event="round", number=server_round)
        return super().configure_train(server_round, arrays, config, grid)

@app.main()
def main(grid, context):
    config = context.run_config
    sites, evaluate = config["sites"], config["evaluate"]
    strategy = Timed(fraction_evaluate=1.0 if evaluate else 0.0, min_available_nodes=sites,
                     min_train_nodes=sites, min_evaluate_nodes=sites if evaluate else 0)
    strategy.facts = config["facts"]
    arrays = ArrayRecord(numpy_ndarrays=make_model(config["megabytes"]))
    strategy.start(grid=grid, initial_arrays=arrays, num_rounds=config["rounds"])
    note(config["facts"], event="end")
"""

CLIENT = """
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from stockbench.shared import note

app = ClientApp()

@app.train()
def train(message, context):
    arrays = message.content["arrays"].to_numpy_ndarrays()
    for array in arrays:
        array += np.float32(1e-3 * (1 + context.node_id % 97))
    metrics = MetricRecord({"num-examples": 10, "loss": 1.0})
    content = {"arrays": ArrayRecord(numpy_ndarrays=arrays), "metrics": metrics}
    note(context.run_config["facts"], event="client")
    return Message(RecordDict(content), reply_to=message)

@app.evaluate()
def evaluate(message, context):
    message.content["arrays"].to_numpy_ndarrays()
    metrics = {"num-examples": 10, "accuracy": 0.5, "site": context.node_id % 97}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)
"""


def stock(megabytes: float, sites: int, rounds: int, evaluate: bool, seconds: float) -> dict[str, Any]:
    """Seconds of each round, and the peak memory of each kind of process in MB."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        facts = folder / "facts.jsonl"
        fields = {"megabytes": float(megabytes), "sites": sites, "rounds": rounds, "facts": facts}
        write_app(folder / "app", {**fields, "evaluate": str(evaluate).lower()})
        ports = free_ports(sites + 1)
        environment = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "FLWR_HOME": str(folder / "home"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        }
        (folder / "home").mkdir()
        connection = (
            f'[superlink]\ndefault = "bench"\n\n[superlink.bench]\naddress = "127.0.0.1:{ports[0]}"\n'
        )
        (folder / "home/config.toml").write_text(connection + "insecure = true\n")
        link = ["flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(ports[0])]
        with running([link], folder, environment) as (superlink,):
            wait_for_port(ports[0])
            nodes = [
                [
                    "flower-supernode",
                    "--insecure",
                    "--superlink",
                    f"127.0.0.1:{ports[0]}",
                    "--port",
                    str(port),
                ]
                for port in ports[1:]
            ]
            with running(nodes, folder, environment) as supernodes:
                time.sleep(5)
                begin = [str(BIN / "flwr"), "run", str(folder / "app"), "bench"]
                subprocess.run(begin, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
                told = wait_for_end(facts, seconds)
                memory = {"superlink": peak(superlink.pid), "supernode": max(peak(p.pid) for p in supernodes)}
    return summary(told, memory)


def summary(told: list[dict[str, Any]], memory: dict[str, int]) -> dict[str, Any]:
    marks = [fact["at"] for fact in told if fact["event"] in ("round", "end")]
    memory["serverapp"] = max(fact["peak_mb"] for fact in told if fact["event"] in ("round", "end"))
    memory["clientapp"] = max(fact["peak_mb"] for fact in told if fact["event"] == "client")
    return {
        "seconds": [later - mark for mark, later in itertools.pairwise(marks)],
        "peak_mb": memory,
    }


def write_app(folder: Path, fields: dict[str, Any]) -> None:
    package = folder / "stockbench"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT.format(**fields))
    for name, text in (("__init__", ""), ("shared", SHARED), ("server_app", SERVER), ("client_app", CLIENT)):
        (package / f"{name}.py").write_text(text)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@contextmanager
def running(
    commands: list[list[str]], folder: Path, environment: dict[str, str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes with all their children, ended at the end."""
    processes = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"{command[0]}-{number}.log").open("ab") as log:
                program = [str(BIN / command[0]), *command[1:]]
                started = subprocess.Popen(program, env=environment, stdout=log, stderr=log, cwd=folder)
            processes.append(started)
        yield processes
    finally:
        for process in processes:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    parent = psutil.Process(process.pid)
    for member in [parent, *parent.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("the SuperLink did not start")


def wait_for_end(facts: Path, seconds: float) -> list[dict[str, Any]]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        told = [json.loads(line) for line in facts.read_text().splitlines()] if facts.exists() else []
        if any(fact["event"] == "end" for fact in told):
            return told
        time.sleep(0.5)
    raise SystemExit(f"Flower as shipped did not end within {seconds:.0f} s")


def peak(pid: int) -> int:
    """Peak memory in MB of the largest process among ``pid`` and its descendants."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024
