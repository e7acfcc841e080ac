"""A light site for the tests of the engine, as a process."""

import sys
import threading
import time
from pathlib import Path

from nbfed_site.contracts import RoundInput, RoundOutput, SiteFailure
from nbfed_site.link import LinkSettings, run


def main(server: str, name: str, folder: str, behaviour: str) -> None:
    def handle(task: RoundInput) -> RoundOutput:
        marker = Path(folder) / f"{name}.began"
        if behaviour == "hang once" and not marker.exists():
            marker.touch()
            time.sleep(600)
        if behaviour == "slow":
            marker.touch()
            while not (Path(folder) / "go on").exists():
                time.sleep(0.02)
        return RoundOutput(task.task_id, task.kind, task.round, num_examples=5, arrays=task.arrays)

    settings = LinkSettings(
        server, name, Path(folder) / f"{name}.pem", heartbeat_seconds=0.5, give_up_seconds=30
    )
    run(
        settings,
        handle,
        threading.Event(),
        lambda kind, facts: print(name, kind, dict(facts), flush=True),
        lambda error: SiteFailure("NE601", str(error)),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
