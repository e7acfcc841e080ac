"""When a fault strikes: eight moments of a run, told by events and by bytes on the way of site b."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .laboratory import Laboratory
from .parts import Hang
from .workshop import MODEL_BYTES

MOMENTS = (
    "joining",
    "before round 1",
    "downloading",
    "training",
    "uploading",
    "aggregating",
    "between rounds",
    "after the end",
)
PUSHING = "pushing"  # the author's, long before; at the registry alone
SECONDS = 60.0

# Sites a and c are fast, and b is slow: a's update is in the sum while b's is on its way.
PAUSES = {"aggregating": {"b": 0.5}}


def strike(lab: Laboratory, moment: str, act: Callable[[], None], silent: bool = False) -> None:
    """Call ``act`` at the moment, of a laboratory that is about to start, and start it.

    Where b is ``silent``, the moment is the start.

    Raises:
        Hang: the moment never came.
    """
    struck = threading.Event()
    way, middle = lab.ways["b"], 3 * MODEL_BYTES // 2

    def hit() -> None:
        act()
        struck.set()

    bytewise = {"joining": ("up", 1), "downloading": ("down", middle), "uploading": ("up", middle)}
    if silent:
        lab.start()
        hit()
    elif moment in bytewise:
        way.when(*bytewise[moment], hit)
        lab.start()
    else:
        lab.start()
        _await_event(lab, moment)
        hit()
    if not struck.wait(SECONDS):
        raise Hang(f"{moment}: it never came:\n{lab.server.log[-1500:]}\n{lab.sites['b'].log[-1500:]}")


def _await_event(lab: Laboratory, moment: str) -> None:
    server = lab.server
    match moment:
        case "before round 1":
            server.until("card", SECONDS, site="b")
        case "training":
            server.until("received", SECONDS, site="b", round=2, task="train")
            time.sleep(0.1)
        case "aggregating":
            server.until("update", SECONDS, site="a", round=2)
        case "between rounds":
            server.until("round_finished", SECONDS, round=1)
        case _:
            server.wait(SECONDS)
            for site in lab.sites.values():
                assert site.wait(20) == 0, site.log
