"""``nbfed-site up --settings FILE``: one warm site process, until told to stop."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from .contracts import BadInput, NbfedError, ReleasePolicy, Scalar, SettingsInvalid, canonical_json

_GRACE_SECONDS = 10.0
_MadeT = TypeVar("_MadeT")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings file: a JSON object with these keys, all paths absolute.

    Attributes:
        server: base URL of the server. name, key: the site's name and private key file.
        slice: the slice folder. receipts: the receipts file.
        root_certificates: PEM file of the server's authority; None without TLS.
        data_path: the site's data, where the notebook takes it as a parameter.
        parameters: other parameters by name. partition: fields of ``Partition``, to share the
            notebook's own data. policy: fields of ``ReleasePolicy``.
        events: file that JSON lines are appended to, or the number of an inherited descriptor; with
            1, standard output is theirs alone, and what the notebook prints goes to standard error.
        threads: processor threads for numerical libraries; None leaves them alone.
        parent_pipe: end when standard input closes, that is when the parent process is gone.
    """

    server: str
    name: str
    key: str
    slice: str
    receipts: str
    root_certificates: str | None = None
    data_path: str | None = None
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    partition: Mapping[str, Any] | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    events: str | int = os.devnull
    wire: Literal["fp32", "bf16"] = "fp32"
    threads: int | None = None
    heartbeat_seconds: float = 5.0
    parent_pipe: bool = False


class EventLog:
    """JSON lines on a stream of their own: what the notebook prints cannot mix with them."""

    def __init__(self, target: str | int) -> None:
        self._lock = threading.Lock()
        self._stream: BinaryIO = open(os.dup(1) if target == 1 else target, "ab", buffering=0)  # noqa: SIM115
        if target == 1:
            os.dup2(2, 1)

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write one event at once; a reader that is gone is no error."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._lock, suppress(OSError):
            self._stream.write(canonical_json({**fields, "event": event, "at": at}) + b"\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="nbfed-site", description=__doc__)
    up = parser.add_subparsers(dest="command", required=True).add_parser("up", help="run this site")
    up.add_argument("--settings", type=Path, required=True, help="JSON settings file")
    options = parser.parse_args(arguments)
    events = None
    try:
        settings = read_settings(options.settings)
        events = EventLog(settings.events)
        _up(settings, events)
    except NbfedError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        if events is not None:
            told = {"code": error.code, "what": error.what, "where": error.where, "hint": error.hint}
            events("failed", told)
        return error.exit_code
    return 0


def read_settings(path: Path) -> Settings:
    """Read a settings file.

    Raises:
        BadInput: not a readable JSON object.
        SettingsInvalid: a key is missing or unknown.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"The settings cannot be read ({type(error).__name__}).", where=str(path)) from error
    return _made(Settings, value)


def _made(kind: Callable[..., _MadeT], fields: Mapping[str, Any]) -> _MadeT:
    try:
        return kind(**fields)
    except TypeError as error:
        raise SettingsInvalid(f"The site's settings do not fit: {error}.") from error


def _up(settings: Settings, events: EventLog) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS") if settings.threads else ():
        os.environ[name] = str(settings.threads)
    from . import link
    from .program import Partition, Program, Stopped
    from .receipts import Receipts
    from .worker import Worker

    given = dict(settings.parameters)
    if settings.data_path is not None:
        given["data_path"] = settings.data_path
    share = _made(Partition, settings.partition) if settings.partition else None
    policy = _made(ReleasePolicy, settings.policy)
    program = Program(
        Path(settings.slice), given, share, lambda progress: events("progress", asdict(progress))
    )
    worker = Worker(program, policy, Receipts(Path(settings.receipts)), events, settings.name)
    stop = threading.Event()

    def end(_number: int, _frame: object) -> None:
        stop.set()
        if worker.interruptible:
            raise Stopped

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    if settings.parent_pipe:
        _follow_parent()
    certificates = Path(settings.root_certificates) if settings.root_certificates else None
    connection = link.LinkSettings(
        settings.server,
        settings.name,
        Path(settings.key),
        certificates,
        settings.wire,
        settings.heartbeat_seconds,
    )
    try:
        link.run(connection, worker.handle, stop, events, worker.describe)
    except Stopped:
        events("stopped", {})


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


if __name__ == "__main__":
    sys.exit(main())
