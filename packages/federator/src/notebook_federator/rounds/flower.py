"""The real transport: Flower's Fleet API, served by this process to the sites of one federation.

Touches of Flower that are not its public API are listed in the modules beside this one whose names begin with
``flower_``, in ``object_store.py``, and in those of ``nbfed_site/link``.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nbfed_site.link  # noqa: F401 (before flwr: it keeps Flower from calling home)

# isort: split
import uvicorn
from flwr.app import ArrayRecord, RecordDict
from nbfed_site.contracts import CannotConnect, PortInUse, RoundInput, SettingsInvalid, StorageFull
from nbfed_site.link.pack import Slot, Wire, chunks_of, slots_json
from nbfed_site.link.records import Run, content_of, objects_of

from .entrance import Entrance, Limits
from .flower_desk import SiteDesk
from .flower_server import FleetApp
from .mutual_tls import MutualTls
from .object_store import SpillingStore
from .orders import StopAsked
from .port import Event, Joined, Received, Replied
from .run_file import RunFile

_PULSE_SECONDS = 0.5
_STOP_SECONDS = 2.0
_LOOK_SECONDS = 0.2
_STOP = RoundInput("stop", "stop")
_KEEP_ALIVE_SECONDS = 75
_HASH_THREADS = 2
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class _Outgoing:
    task_id: str
    content: RecordDict
    object_id: str


class FlowerTransport:
    """A :class:`~notebook_federator.rounds.port.Transport` over Flower's Fleet API.

    Attributes:
        address: ``host:port`` that the server listens on.
    """

    def __init__(  # noqa: PLR0913 (each is a setting of the federation)
        self,
        host: str,
        port: int,
        site_keys: Mapping[str, bytes],
        folder: Path,
        *,
        wire: Wire = "fp32",
        heartbeat_seconds: float = 5.0,
        mutual: MutualTls | None = None,
        observe: Callable[[Event], None] = lambda event: None,
        turned_away: Callable[[str, str, int], None] = lambda address, reason, count: None,
        limits: Limits | None = None,
    ) -> None:
        """Listen, and serve from a thread of its own.

        Args:
            port: 0 for any free one.
            site_keys: public key (PEM) of each site, by name; :meth:`admit` lets more in.
            folder: for array bytes under way; emptied at the start and removed at the end.
            wire: precision of float32 arrays on their way to the sites.
            heartbeat_seconds: as the sites have it; a site silent for four of these is lost.
            mutual: certificates on both sides; None for plain HTTP, which only loopback addresses serve.
            observe: told every event at once, from the server's threads.
            turned_away: told the address, the reason and the number of connections that TLS refused.

        Raises:
            PortInUse: the port is taken.
            CannotConnect: there is no such address.
            SettingsInvalid: the certificate cannot be used, or there is none for others than this machine.
        """
        context = _context(host, mutual)
        self._socket = _listen(host, port)
        bound = self._socket.getsockname()
        self.address = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"
        self._folder, self._wire = folder, wire
        self._desk = SiteDesk(SpillingStore(folder, 1), heartbeat_seconds, observe)
        for site, key in site_keys.items():
            self._desk.admit(site, key)
        self._app = FleetApp(self._desk, mutual)
        self._pool = ThreadPoolExecutor(_HASH_THREADS, thread_name_prefix="hash")
        self._outgoing: _Outgoing | None = None
        self._closed = threading.Event()
        self._server = Entrance(_configuration(self._app), context, turned_away, limits)
        self._server.config.load()
        self._loop = self._server.config.get_loop_factory()()  # type: ignore[misc]
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._serve, "fleet"), (self._watch, "pulse"))
        ]
        for thread in self._threads:
            thread.start()

    def admit(self, site: str, key: bytes) -> None:
        """Let a site in that has this public key (PEM)."""
        self._desk.admit(site, key)

    def expel(self, site: str) -> None:
        """Take back what a site was asked, and answer it no more: its key is worth nothing from now on."""
        self._ring(self._desk.expel(site))

    def heard_seconds(self) -> dict[str, float]:
        """For how long each site that was ever heard of has been silent."""
        return self._desk.heard_seconds()

    def send(self, task: RoundInput, sites: Sequence[str]) -> None:
        """Queue ``task`` for each of ``sites`` (its arrays are stored once). Returns at once.

        A site that was expelled meanwhile is left out; it was told to be lost.

        Raises:
            CannotConnect: a site has never joined.
            BadInput: an array has no plain bytes.
            StorageFull: there is no room for the arrays.
        """
        content = self._content(task)
        for site in sites:
            self._ring(self._desk.post(task, site, content))

    def events(self, timeout: float) -> Iterator[Event]:
        """Yield what happened, waiting at most ``timeout`` seconds for the first event."""
        return self._desk.events(timeout)

    def discard(self, reply: Replied) -> None:
        """Free the disk space behind ``reply.output.arrays``."""
        self._desk.discard(reply)

    def cancel(self, task_id: str) -> None:
        """Take back a task: sites that have not begun it never get it, late replies are dropped."""
        self._desk.withdraw(lambda sent: sent.task.task_id == task_id)
        if self._outgoing is not None and self._outgoing.task_id == task_id:
            self._release()

    def close(
        self, over: bool = True, grace: float = 0.0, waiting: Callable[[list[str]], None] = lambda sites: None
    ) -> None:
        """Free everything; tell sites to end where the run is ``over``, else they look out for a server.

        Args:
            grace: seconds for which members that do not answer are waited for, so that they hear it, too.
            waiting: called once with those that are waited for, where that takes longer than a moment.
        """
        if self._closed.is_set():
            return
        self._desk.withdraw(lambda sent: True)
        if over:
            with suppress(StopAsked):
                self._dismiss(grace, waiting)
        self._desk.closing = True
        self._closed.set()
        for member in list(self._desk.members.values()):
            self._ring(member.node_id)
        self._server.should_exit = True
        for thread in self._threads:
            thread.join(timeout=_STOP_SECONDS)
        self._pool.shutdown()
        self._desk.store.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _dismiss(self, grace: float, waiting: Callable[[list[str]], None]) -> None:
        """Tell every member that the run is over, until all that can be waited for have heard it."""
        for _ in self.events(0):
            pass  # news of the run that is over
        here = [site for site, member in list(self._desk.members.items()) if member.present]
        missing = set(self._desk.members if grace else here)
        self.send(_STOP, here)
        begun, told = time.monotonic(), False
        while missing and (spent := time.monotonic() - begun) < max(grace, _STOP_SECONDS):
            if spent > _STOP_SECONDS and not told:
                told = True
                waiting(sorted(missing))
            for event in self.events(_LOOK_SECONDS):
                if isinstance(event, Joined):
                    self.send(_STOP, [event.site])
                elif isinstance(event, Received) and event.task_id == _STOP.task_id:
                    missing.discard(event.site)
            missing &= self._desk.members.keys()

    def _content(self, task: RoundInput) -> RecordDict:
        """The content of a task's messages, in the store; kept while the same task goes to more sites."""
        if self._outgoing is not None and self._outgoing.task_id == task.task_id:
            return self._outgoing.content
        self._release()
        header = {
            "task_id": task.task_id,
            "kind": task.kind,
            "round": task.round,
            "config": dict(task.config),
            "ledger": task.ledger,
        }
        store = self._desk.store
        if task.arrays is None:
            content = content_of(header, None)
            tree, objects = objects_of(content)
            store.preregister(0, tree)
        else:
            slots: list[Slot] = []
            file, ids = self._spool(chunks_of(task.arrays, self._wire, slots))
            content = content_of({**header, "layout": slots_json(slots)}, file.nbytes, ids)
            tree, objects = objects_of(content)
            store.preregister(0, tree)
            run_id = cast(ArrayRecord, content["arrays"])["run"].object_id
            store.put_filled(Run(run_id, file.nbytes, tuple(ids)), objects.pop(run_id), file)
        store.hold(tree.object_id)
        for object_id, data in objects.items():
            store.put(object_id, data)
        self._outgoing = _Outgoing(task.task_id, content, tree.object_id)
        return content

    def _spool(self, chunks: Iterator[list[memoryview]]) -> tuple[RunFile, list[str]]:
        file = self._desk.store.new_file()
        try:
            return file, file.fill(chunks, self._pool)
        except OSError as error:
            self._desk.store.drop(file)
            what = f"The model could not be written for sending: {error.strerror or error}."
            hint = "free some disk space, then resume the run; finished rounds are kept"
            raise StorageFull(what, where=str(self._folder), hint=hint) from error

    def _release(self) -> None:
        if self._outgoing is not None:
            self._desk.store.release(self._outgoing.object_id)
            self._outgoing = None

    def _ring(self, node_id: int | None) -> None:
        if node_id is not None:
            self._loop.call_soon_threadsafe(self._app.ring, node_id)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._server.serve(sockets=[self._socket]))
        self._loop.close()

    def _watch(self) -> None:
        while not self._closed.wait(_PULSE_SECONDS):
            self._desk.pulse()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            hint = "stop the process that listens there, or choose another port (0 for any free one)"
            raise PortInUse("The port is in use.", where=where, hint=hint) from error
        raise CannotConnect(f"The address cannot be listened on: {error}", where=where) from error


def _context(host: str, mutual: MutualTls | None) -> ssl.SSLContext | None:
    if mutual is None:
        if host not in _LOOPBACK:
            what = "Without certificates a server serves its own machine alone."
            raise SettingsInvalid(what, where=host, hint="Serve a federation's folder: nbfed serve")
        return None
    try:
        return mutual.context()
    except OSError as error:
        what = f"Certificate and key cannot be used: {error}."
        raise SettingsInvalid(what, where=f"{mutual.certificate}, {mutual.key}") from error


def _configuration(app: FleetApp) -> uvicorn.Config:
    for name in ("flwr", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
