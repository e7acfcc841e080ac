"""Follows the federation's ledger while the server runs, so that decisions take effect at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from nbfed_site.contracts import NbfedError

from ..ledger import Entry, Ledger
from ..rounds.orders import Orders
from .authority import Identity
from .federation_folder import FederationFolder
from .membership import Membership, orders

_POLL_SECONDS = 0.5


class Desk(Protocol):
    """Where sites are let in."""

    def admit(self, site: str, key: bytes) -> None:
        """Let a site in that has this public key (PEM)."""

    def expel(self, site: str) -> None:
        """Know a site no more."""


@dataclass(slots=True)
class Follower:
    """Keeps the membership up to date, and the desk with it. Several threads may call.

    Attributes:
        on_entry: told each entry after it took effect, with the membership as it is then.
        on_trouble: told why the ledger cannot be read, once each time.
    """

    folder: FederationFolder
    on_entry: Callable[[Entry, Membership], None]
    on_trouble: Callable[[str], None]
    membership: Membership = field(default_factory=Membership)
    _desk: Desk | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _closed: threading.Event = field(default_factory=threading.Event)

    def orders(self) -> Orders:
        """What the coordinator has decided by now."""
        return orders(self.membership)

    def why_not(self, visitor: Identity) -> str:
        """Why the certificate of a site is worth nothing; empty where there is no more to say."""
        record = self.membership.sites.get(visitor.site)
        if record is None:
            return f"{visitor.site} is not a site of this federation"
        if record.removed is not None:
            return f"{visitor.site} was removed from this federation: {record.removed}"
        if record.key and record.key != visitor.public_key_pem:
            return f"{visitor.site} has joined with another key since"
        return ""

    def follow(self, ledger: Ledger) -> None:
        """Take in what is new in the ledger, which the calling thread has open."""
        with self._lock:
            for entry in list(ledger.entries(start=self.membership.entries)):
                self.membership = self.membership.after(entry)
                self._seat(str(entry.body.get("site", "")))
                self.on_entry(entry, self.membership)

    def attend(self, desk: Desk) -> None:
        """Let all members in at ``desk``, and follow the ledger from a thread of its own."""
        with self._lock:
            self._desk = desk
            for site in self.membership.sites:
                self._seat(site)
        threading.Thread(target=self._watch, name="follower", daemon=True).start()

    def close(self) -> None:
        """Follow no more."""
        self._closed.set()

    def _seat(self, site: str) -> None:
        record = self.membership.sites.get(site)
        if self._desk is None or record is None:
            return
        if record.removed is None and record.key:
            self._desk.admit(site, record.key)
        else:
            self._desk.expel(site)

    def _watch(self) -> None:
        told = ""
        while not self._closed.wait(_POLL_SECONDS):
            try:
                with self.folder.open_ledger() as ledger:
                    while not self._closed.wait(_POLL_SECONDS):
                        self.follow(ledger)
                        told = ""
            except (NbfedError, OSError) as error:
                if str(error) != told:
                    told = str(error)
                    self.on_trouble(told)
