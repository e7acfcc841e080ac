"""One run of a federation on its server: the port with its pages, the ledgers, and the live state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..ledger import Entry, Ledger
from ..rounds.mutual_tls import MutualTls, Page
from ..rounds.orders import Orders
from .authority import Identity, identity
from .events import Event, utc_now
from .federation_folder import FederationFolder
from .folder import RunFolder
from .follower import Follower
from .join_page import JoinPage
from .live import Live
from .membership import Membership
from .server import Door
from .settings import RunSettings

if TYPE_CHECKING:
    from ..rounds.flower import FlowerTransport
    from ..rounds.port import Event as TransportEvent


@dataclass(slots=True)
class Hosting:
    """A :class:`~notebook_federator.federation.server.Venue`: a federation's server, run ``number``.

    Attributes:
        tell: called with every event, from several threads.
        grace: as of every venue.
    """

    folder: FederationFolder
    number: int
    door: Door
    tell: Callable[[Event], None]
    grace: float = 0.0
    patient: bool = True
    live: Live = field(init=False)
    follower: Follower = field(init=False)
    _transport: FlowerTransport | None = None
    _attending: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)  # of the live state

    def __post_init__(self) -> None:
        self.live = Live(self.number)
        self.follower = Follower(self.folder, self._decided, self._troubled)
        with self.folder.open_ledger() as ledger:
            self.follower.follow(ledger)

    # -- what a run needs ---------------------------------------------------------------------

    def ledger(self, run: RunFolder) -> Ledger:
        """The run's ledger; its first entry ties it to the federation's."""

        def observe(entry: Entry) -> None:
            with self._lock:
                self.live.see_entry(entry)
            self.happened({"event": entry.kind, "at": entry.at, **entry.body})

        ledger = Ledger(run.ledger, utc_now, observe, self.folder.signer())
        if ledger.head()[0] == 0:
            with self.folder.open_ledger() as above:
                entries, head = above.head()
            membership = self.follower.membership
            facts = {"federation": membership.name, "key": membership.key, "entries": entries, "head": head}
            ledger.append("opened", run=self.number, **facts)
        return ledger

    def happened(self, event: Event) -> None:
        """Take in an event of the run."""
        with self._lock:
            self.live.see_journal(event)
        self.tell(event)

    def listen(self, run: RunFolder, settings: RunSettings) -> FlowerTransport:
        """Open the port, and let the members in."""
        from ..rounds.flower import FlowerTransport

        self._transport = FlowerTransport(
            host=self.door.host,
            port=self.door.port,
            site_keys={},
            folder=run.server / "spool",
            wire=settings.wire,
            heartbeat_seconds=settings.heartbeat,
            mutual=self._mutual(),
            observe=self._observed,
            turned_away=self._turned_away,
        )
        self._attending = True
        self.follower.attend(self._transport)
        return self._transport

    def orders(self) -> Orders:
        """What the coordinator has decided by now."""
        return self.follower.orders()

    # -- the port -----------------------------------------------------------------------------

    def _mutual(self) -> MutualTls:
        from nbfed_site.link.fleet import VERSIONS

        slice_digest = self.folder.manifest().slice_digest
        authority = self.folder.authority()
        join = JoinPage(self.folder, self.follower, authority, slice_digest, VERSIONS, _now)
        return MutualTls(
            certificate=self.folder.certificate("server"),
            key=self.folder.key("server"),
            authority=self.folder.certificate("authority"),
            identify=identity,
            why_not=self.follower.why_not,
            slice_digest=slice_digest,
            pages={
                "/v1/join": Page("POST", "join", join.answer),
                "/v1/status": Page("GET", "coordinator", self._status),
            },
        )

    def _status(self, visitor: Identity, body: bytes) -> tuple[int, dict[str, Any]]:
        heard = self._transport.heard_seconds() if self._transport else {}
        with self._lock:
            return 200, self.live.to_json(utc_now(), heard)

    # -- what others tell ---------------------------------------------------------------------

    def _observed(self, event: TransportEvent) -> None:
        with self._lock:
            self.live.see_transport(event, utc_now())

    def _decided(self, entry: Entry, membership: Membership) -> None:
        with self._lock:
            self.live.see_decision(entry, membership)
        if self._attending:
            self.tell({"event": "decided", "at": entry.at, "kind": entry.kind, "body": entry.body})

    def _troubled(self, why: str) -> None:
        what = f"The federation's ledger cannot be read: {why}"
        self.tell({"event": "trouble", "at": utc_now(), "what": what})

    def _turned_away(self, address: str, reason: str, count: int) -> None:
        facts = {"address": address, "reason": reason, "count": count}
        self.tell({"event": "turned_away", "at": utc_now(), **facts})


def _now() -> datetime:
    return datetime.now(UTC)
