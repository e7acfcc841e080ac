"""``POST /v1/join``: a site shows its kit's token and is given the certificate that it works with."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nbfed_site.contracts import JoinRefused, NbfedError, VersionSkew

from ..ledger import Ledger
from .authority import Authority, Identity
from .federation_folder import FederationFolder
from .follower import Follower
from .joining import Admission, JoinRequest, Refusal, decide_join, read_request

Answer = tuple[int, Mapping[str, Any]]


@dataclass(slots=True)
class JoinPage:
    """Decides one join at a time; what was decided is in the ledger before it is answered.

    Attributes:
        versions: of this server, as sites name theirs.
        now: the time, in UTC.
    """

    folder: FederationFolder
    follower: Follower
    authority: Authority
    slice_digest: str
    versions: str
    now: Callable[[], datetime]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _given: dict[Admission, str] = field(default_factory=dict)

    def answer(self, visitor: Identity, body: bytes) -> Answer:
        """The answer to a join request of whoever holds a token."""
        try:
            with self._lock, self.folder.locked(), self.folder.open_ledger() as ledger:
                return self._decide(ledger, visitor, body)
        except NbfedError as error:  # the ledger cannot be written, or not now: nothing was decided
            return 503, _told(error.code, "The server cannot take a join now.", error.what)

    def _decide(self, ledger: Ledger, visitor: Identity, body: bytes) -> Answer:
        self.follower.follow(ledger)
        if (theirs := _versions(body)) != self.versions:
            what = f"The site runs other versions than the server, which runs {self.versions}."
            hint = f"It runs {theirs}: use the image that the kit names."
            return self._refuse(ledger, Refusal(visitor.site, what, hint, 426), VersionSkew.code)
        try:
            request = read_request(body)
        except JoinRefused as error:
            return self._refuse(ledger, Refusal(visitor.site, error.what, error.hint))
        membership = self.follower.membership
        decision = decide_join(membership, visitor, request, self.slice_digest, self.now())
        if isinstance(decision, Refusal):
            return self._refuse(ledger, decision)
        return self._admit(ledger, decision, request)

    def _admit(self, ledger: Ledger, admission: Admission, request: JoinRequest) -> Answer:
        """Issue a certificate, once: whoever asks again is given the same, and does not fill the ledger."""
        if (given := self._given.get(admission)) is not None:
            return 200, {"certificate": given}
        issued = self.authority.issue_site(request.csr, admission.site, self.now())
        ledger.append(
            "site_joined",
            site=admission.site,
            key=admission.key.decode(),
            kit=admission.kit,
            token=admission.token,
            certificate=issued.serial,
            expires=issued.expires,
        )
        self.follower.follow(ledger)
        self._given[admission] = issued.pem.decode()
        return 200, {"certificate": self._given[admission]}

    def _refuse(self, ledger: Ledger, refusal: Refusal, code: str = JoinRefused.code) -> Answer:
        """Record each reason once; none holds words of the visitor, who so cannot fill the ledger."""
        if (refusal.site, refusal.what) not in self.follower.membership.refusals:
            ledger.append("join_refused", site=refusal.site, reason=refusal.what)
            self.follower.follow(ledger)
        return refusal.status, _told(code, refusal.what, refusal.hint)


def _told(code: str, what: str, hint: str) -> dict[str, str]:
    return {"code": code, "what": what, "hint": hint}


def _versions(body: bytes) -> str:
    try:
        return str(json.loads(body)["versions"])[:200].encode(errors="replace").decode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return "versions that it does not name"
