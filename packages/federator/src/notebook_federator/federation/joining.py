"""Whether a site may join with the kit that it has: a pure decision over the membership."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from nbfed_site.contracts import JoinRefused

from .authority import Identity, requested_key
from .membership import Membership, SiteRecord

_ASK = "Ask the coordinator for a new kit."


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What a site asks with.

    Attributes:
        csr: certificate signing request, PEM. key: the public key in it, PEM.
        kit: digest of its kit. slice_digest: of the slice in its image.
    """

    csr: bytes
    key: bytes
    kit: str
    slice_digest: str


@dataclass(frozen=True, slots=True)
class Admission:
    """The site may join: issue its certificate and record ``site_joined``."""

    site: str
    key: bytes
    kit: str
    token: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The site may not join.

    Attributes:
        what: the reason, one sentence; also the ledger's. hint: what its operator does next.
        status: of the HTTP answer.
    """

    site: str
    what: str
    hint: str
    status: Literal[403, 409, 426] = 403


def read_request(body: bytes) -> JoinRequest:
    """A join request from its JSON.

    Raises:
        JoinRefused: it is none, or its certificate request cannot be used.
    """
    try:
        value = json.loads(body)
        csr, kit, slice_digest = (str(value[name]) for name in ("csr", "kit", "slice"))
        pem = csr.encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise JoinRefused("The join request cannot be read.", hint=_ASK) from None
    return JoinRequest(pem, requested_key(pem), kit, slice_digest)


def decide_join(
    membership: Membership, identity: Identity, request: JoinRequest, slice_digest: str, now: datetime
) -> Admission | Refusal:
    """Whether the holder of a join token may join with the key that it shows.

    A token works once; whoever used it may ask again with the same key, as after a lost answer.

    Args:
        identity: of the token's certificate.
        slice_digest: of the federation's slice. now: UTC.
    """
    site = membership.sites.get(identity.site)
    if site is None:
        return Refusal(identity.site, f"{identity.site} is not a site of this federation.", _ASK)
    if site.removed is not None:
        what = f"{site.name} was removed from this federation: {site.removed}"
        return Refusal(site.name, what, "Speak with the coordinator.")
    if other := _holder(membership, request.key, site.name):
        hint = "Every site makes its own key: start with an empty scratch folder."
        return Refusal(site.name, f"This key is that of {other} already.", hint, 409)
    refusal = _refusal(site, identity, request, slice_digest, now)
    return refusal or Admission(site.name, request.key, request.kit, identity.token)


def _holder(membership: Membership, key: bytes, but: str) -> str:
    """Another member that joined with this key; empty where there is none."""
    return next((item.name for item in membership.members if item.key == key and item.name != but), "")


def _refusal(
    site: SiteRecord, identity: Identity, request: JoinRequest, slice_digest: str, now: datetime
) -> Refusal | None:
    if identity.token != site.token:
        what = f"The kit is stale: it is not the newest that was made for {site.name}."
        return Refusal(site.name, what, "Use the newest kit, or ask the coordinator for it.", 409)
    if request.kit != site.kit:
        return Refusal(site.name, f"The kit is not as it was made for {site.name}.", _ASK, 409)
    if request.slice_digest != slice_digest:
        what = "The image holds other code than this federation's."
        return Refusal(site.name, what, "Run the image that the newest kit names.", 426)
    if site.joined_token == identity.token and site.key != request.key:
        what = "The kit's join token was used before, with another key: somebody may have a copy of the kit."
        return Refusal(site.name, what, "Tell the coordinator; a new kit makes every copy useless.", 409)
    if site.joined_token != identity.token and now >= datetime.fromisoformat(site.token_expires):
        what = f"The kit's join token expired at {site.token_expires}."
        return Refusal(site.name, what, _ASK)
    return None
