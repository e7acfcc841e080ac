"""The warm client loop: fetch a task, have it done, deliver the reply; reconnect as often as needed."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from nbfed_site.contracts import (
    Arrays,
    CannotConnect,
    RoundInput,
    RoundOutput,
    Scalar,
    SiteFailure,
    output_header,
)

from .courier import Courier, Delivery, Task
from .fleet import FleetClient, tls_context
from .pack import Wire
from .patience import Patience, Tell
from .refusals import NotRecognised, Unreachable

_IDLE_SECONDS = (0.02, 1.0)
_HEARTBEAT_CALL_SECONDS = 5.0
_ResultT = TypeVar("_ResultT")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How a site reaches its server.

    Attributes:
        server: ``host:port``, or ``https://host:port``.
        name: this site, for messages to people; the server knows the site by its key.
        key_path: private key, as :func:`~nbfed_site.link.generate_key` writes it.
        root_certificates: PEM file of the authority that signed the server's certificate; None for
            this machine's authorities, or without ``https://`` for plain HTTP, meant for one machine.
        certificate: PEM file that shows who this site is, with its key or beside ``key_path``; None
            where the server asks for none.
        slice_digest: of the code that this site runs; the server takes no other than the federation's.
        wire: precision of float32 arrays on their way to the server.
        heartbeat_seconds: time between signs of life.
        give_up_seconds: end with an error when the server was out of reach for so long; None: never.
    """

    server: str
    name: str
    key_path: Path
    root_certificates: Path | None = None
    certificate: Path | None = None
    slice_digest: str = ""
    wire: Wire = "fp32"
    heartbeat_seconds: float = 5.0
    give_up_seconds: float | None = None

    def context(self) -> ssl.SSLContext | None:
        """How the server is judged, and what is shown to it.

        Raises:
            SettingsInvalid: a certificate cannot be read.
        """
        return tls_context(self.server, self.root_certificates, self.certificate, self.key_path)


def run(  # noqa: PLR0913, PLR0917 (six of them are the site's side of the link)
    settings: LinkSettings,
    handle: Callable[[RoundInput], RoundOutput],
    stop: threading.Event,
    on_event: Tell,
    describe: Callable[[BaseException], SiteFailure],
    on_beat: Callable[[], None] = lambda: None,
    state: Callable[[], str] = lambda: "",
    interrupt: Callable[[], None] = lambda: None,
) -> None:
    """Serve tasks until the server sends ``stop`` or ``stop`` is set.

    Args:
        handle: does one task; called in the calling thread, one task at a time. What it raises
            becomes a failure reply, by way of ``describe``.
        on_event: told ``connected``, ``disconnected`` (with the cause and the seconds until the next
            attempt), ``received``, ``replied``, ``failed``, ``dropped`` and ``stopped``; called from
            two threads.
        on_beat: called after each heartbeat that the server took.
        state: gives what heartbeats say of the site's state (:meth:`SiteState.header`).
        interrupt: called from another thread when the server refuses this site while it is busy; may
            have ``handle`` end with an exception that is no :class:`Exception`.

    Raises:
        CannotConnect: the server refuses this site, or was away for too long.
        CertificateRefused: this site's certificate or the server's is not accepted.
        VersionSkew: server and site run different versions.
        SettingsInvalid: the key cannot be read, or the address makes no sense.
    """
    link = _Link(settings, stop, on_event)
    threading.Thread(
        target=link.beat, args=(on_beat, state, interrupt), name="heartbeat", daemon=True
    ).start()
    try:
        while not stop.is_set():
            task = link.persist(link.fetch)
            if task is None:
                continue
            if task.input.kind == "stop":
                on_event("stopped", {"cause": "the server says that the run is over"})
                return
            delivery = _perform(task, handle, describe, link)
            del task
            link.persist(lambda: link.deliver(delivery))  # noqa: B023 (called at once)
            del delivery
    except BaseException:
        if link.refused is not None:
            raise link.refused from None
        raise
    finally:
        link.leave()


def _perform(
    task: Task,
    handle: Callable[[RoundInput], RoundOutput],
    describe: Callable[[BaseException], SiteFailure],
    link: _Link,
) -> Delivery:
    link.busy.set()
    try:
        output = handle(task.input)
        return link.pack(task, {"output": output_header(output)}, output.arrays)
    except Exception as error:
        failure = describe(error)
        link.tell("failed", {"task_id": task.input.task_id, "code": failure.code, "what": failure.what})
        return link.pack(task, {"failure": asdict(failure), "task_id": task.input.task_id}, None)
    finally:
        link.busy.clear()


class _Link:
    """The connection of one site process, kept up by two threads: tasks here, heartbeats there."""

    def __init__(self, settings: LinkSettings, stop: threading.Event, tell: Tell) -> None:
        self.tell = tell
        self.busy = threading.Event()
        self._settings = settings
        self._stop = stop
        self._ended = False
        self.refused: CannotConnect | None = None
        self._client = FleetClient(
            settings.server,
            settings.key_path,
            settings.context(),
            settings.slice_digest,
        )
        self._courier = Courier(self._client, settings.wire)
        self._lock = threading.Lock()
        self._patience = Patience(settings.server, settings.give_up_seconds, stop, tell)
        self._up = False
        self._pause = 0.0

    def persist(self, operation: Callable[[], _ResultT]) -> _ResultT | None:
        """Do ``operation`` with an active node; on failure report, wait and repeat. None when stopped."""
        attempt = 0
        while not self._stop.is_set():
            try:
                self._activate()
                result = operation()
                self._patience.heard()
                self._up = True
                return result
            except (NotRecognised, Unreachable) as error:
                if self._stop.is_set():
                    break
                self._courier.forget(error)
                self._up = False
                self._patience.wait_after(error, attempt)
                attempt += 1
        return None

    def fetch(self) -> Task | None:
        """The next task, read whole; None if there is none now."""
        asked = time.monotonic()
        task = self._courier.fetch()
        if task is not None:
            self._pause = 0.0
            facts: dict[str, Scalar] = {
                "task_id": task.input.task_id,
                "kind": task.input.kind,
                "round": task.input.round,
            }
            self.tell("received", facts | {"bytes": task.nbytes, "seconds": time.monotonic() - asked})
        elif time.monotonic() - asked < _IDLE_SECONDS[0]:
            self._pause = min(max(2 * self._pause, _IDLE_SECONDS[0]), _IDLE_SECONDS[1])
            self._stop.wait(self._pause)
        return task

    def deliver(self, delivery: Delivery) -> None:
        """Send a reply, or what of it the server does not have yet."""
        begun = time.monotonic()
        facts: dict[str, Scalar] = {"task_id": delivery.task_id}
        sent = self._courier.deliver(delivery)
        if sent is None:
            self.tell("dropped", facts | {"reason": "the server no longer waits for this reply"})
        else:
            self.tell("replied", facts | {"bytes": sent, "seconds": time.monotonic() - begun})

    def pack(self, task: Task, header: dict[str, Any], arrays: Arrays | None) -> Delivery:
        """Make the reply to ``task`` ready to send."""
        return self._courier.pack(task, header, arrays)

    def beat(
        self, on_beat: Callable[[], None], state: Callable[[], str], interrupt: Callable[[], None]
    ) -> None:
        """Send heartbeats until the link ends; re-activate a node that the server forgot."""
        while not self._stop.wait(self._settings.heartbeat_seconds) and not self._ended:
            self._client.say(state())
            try:
                if self.busy.is_set():
                    self._activate()
                if self._courier.heartbeat(self._settings.heartbeat_seconds, _HEARTBEAT_CALL_SECONDS):
                    self._patience.heard()
                    on_beat()
            except (NotRecognised, Unreachable) as error:
                self._courier.forget(error)
                if self._up and self.busy.is_set():
                    self._up = False
                    self.tell("disconnected", {"cause": str(error), "retry_seconds": 0.0})
            except CannotConnect as error:
                self.refused = error
                interrupt()
                return  # the task thread meets the same refusal, unless it is busy
        self._client.shut()

    def leave(self) -> None:
        """Tell the server that this site goes, if it can be reached."""
        self._ended = True
        self._client.shut()
        self._client.reopen()
        self._courier.leave()

    def _activate(self) -> None:
        with self._lock:
            if self._courier.activate(self._settings.heartbeat_seconds):
                self._patience.heard()
                self._up = True
                self.tell("connected", {"server": self._settings.server})
