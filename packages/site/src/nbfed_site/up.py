"""One warm site process, until told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .contracts import DataContract, ReleasePolicy
from .events import Standing, Tell
from .settings import Settings, made

if TYPE_CHECKING:
    from .enrolling import Enrolment
    from .link import LinkSettings
    from .receipts import Receipts
    from .worker import Worker

_GRACE_SECONDS = 10.0
_REFUSED = signal.SIGUSR1  # sent to this process by itself: the server refuses the site


def run_site(
    settings: Settings, tell: Tell, on_beat: Callable[[], None], enrolment: Enrolment | None = None
) -> None:
    """Serve tasks until the server says that the run is over, or this process is told to end.

    Args:
        tell: told what happens, from two threads. on_beat: called after each sign of life.
        enrolment: how this site becomes a member; None where it is one.

    Raises:
        NbfedError: the settings do not fit, or the server refuses this site.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS") if settings.threads else ():
        os.environ[name] = str(settings.threads)
    from . import link
    from .enrolling import signed_receipts
    from .program import Stopped

    standing = Standing()

    def note(event: str, fields: Mapping[str, Any]) -> None:
        standing(event, fields)
        tell(event, fields)

    own = Path(settings.receipts), Path(settings.key)
    receipts = enrolment.receipts if enrolment else signed_receipts(*own)
    worker = _worker(settings, receipts, note)
    stop = threading.Event()
    _obey_signals(worker, stop)
    if settings.parent_pipe:
        _follow_parent()
    connection = _connection(settings, worker.slice_digest)
    try:
        if enrolment is not None:
            enrolment.enter(connection, stop, tell)
        if not stop.is_set():
            said = (worker.describe, on_beat, standing.header, lambda: os.kill(os.getpid(), _REFUSED))
            link.run(connection, worker.handle, stop, note, *said)
    except Stopped:
        stop.set()
    if stop.is_set():
        tell("stopped", {"cause": "told to end"})


def _obey_signals(worker: Worker, stop: threading.Event) -> None:
    """Leave the notebook's code when told to end, or when the server refuses this site."""
    from .program import Stopped

    def end(number: int, _frame: object) -> None:
        if number != _REFUSED:
            stop.set()
        if worker.interruptible:
            raise Stopped

    for number in (signal.SIGTERM, signal.SIGINT, _REFUSED):
        signal.signal(number, end)


def _worker(settings: Settings, receipts: Receipts, tell: Tell) -> Worker:
    from .program import Partition, Program
    from .worker import Worker

    given = dict(settings.parameters)
    if settings.data_path is not None:
        given["data_path"] = settings.data_path
    share = made(Partition, settings.partition) if settings.partition else None
    policy = made(ReleasePolicy, settings.policy)
    contract = made(DataContract, settings.contract)
    data = (Path(settings.data_path) if settings.data_path else None, contract)
    program = Program(Path(settings.slice), given, share, lambda progress: tell("progress", asdict(progress)))
    return Worker(program, policy, receipts, tell, settings.name, data=data)


def _connection(settings: Settings, slice_digest: str) -> LinkSettings:
    from .link import LinkSettings

    return LinkSettings(
        settings.server,
        settings.name,
        Path(settings.key),
        Path(settings.root_certificates) if settings.root_certificates else None,
        Path(settings.certificate) if settings.certificate else None,
        slice_digest,
        settings.wire,
        settings.heartbeat_seconds,
        settings.give_up_seconds,
    )


def _follow_parent() -> None:
    """End this process when its standard input closes; the notebook's code reads an empty one."""
    pipe = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)

    def follow() -> None:
        while os.read(pipe, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
        os._exit(1)  # the main thread hangs in code that takes no signal

    threading.Thread(target=follow, name="parent", daemon=True).start()
