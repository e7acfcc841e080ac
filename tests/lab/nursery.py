"""A warm parent: it has imported what servers and sites import, and forks one whenever it is asked.

Every child is a process of its own, with its own environment, files and signals; only the seconds that
Python takes to read libraries are saved. Reads one JSON object a line, ``{"module", "words", "environment",
"folder", "log", "host"}``, and answers with the process id.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
from typing import Any

from wire import enter

WARM = ("torch", "nbfed_site.link", "nbfed_site.__main__", "nbfed_site.program", "nbfed_site.worker",
        "notebook_federator.rounds.flower", "notebook_federator.federation.serving",
        "notebook_federator.federation.server", "notebook_federator.aggregation")  # fmt: skip


def main() -> None:
    """Serve until standard input closes."""
    for name in WARM:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=1.0).zero_grad()  # reads hundreds of modules
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children here
    print("ready", flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            become(wanted)
        print(child, flush=True)


def become(wanted: dict[str, Any]) -> None:
    """Be that program, in this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    if wanted["host"]:
        enter(wanted["host"])
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    empty = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((empty, 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (for as long as the process lives)
    sys.argv = [wanted["module"], *wanted["words"]]
    code: int | str | None = 0
    try:
        runpy.run_module(wanted["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    with open(f"{wanted['log']}.code", "w") as file:
        file.write(str(code if isinstance(code, int) else int(bool(code))))
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()
