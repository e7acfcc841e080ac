"""What a site allows to run, and how it becomes a member: once per kit, and on its own record."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from . import link
from .certificates import days_left, flaw
from .contracts import NotApproved, Receipt, ReleasePolicy, canonical_json, rebuilt
from .events import Tell
from .keys import generate_key, private_key, public_key, sign, write_private
from .kit import KitFolder
from .receipts import Details, Receipts, read_receipts
from .scratch import Scratch


def signed_receipts(path: Path, key_path: Path) -> Receipts:
    """The record at ``path``, whose new entries are signed with the key at ``key_path``.

    Raises:
        SettingsInvalid: there is no such key.
        LedgerBroken: the record is not as it was written.
    """
    key = private_key(key_path)
    return Receipts(path, sign=lambda text: sign(key, text.encode()))


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A kit at this site; ``before`` is what stood in the site's record when this process began."""

    kit: KitFolder
    scratch: Scratch
    receipts: Receipts
    before: Sequence[Receipt]

    @classmethod
    def begin(cls, kit: KitFolder, scratch: Scratch) -> Enrolment:
        """Open the site's record; the site's key is made where there is none.

        Raises:
            LedgerBroken: the record is not as this site wrote it.
        """
        if not scratch.key.exists():
            generate_key(scratch.key)
        receipts = signed_receipts(scratch.receipts, scratch.key)
        return cls(kit, scratch, receipts, read_receipts(scratch.receipts, public_key(scratch.key)))

    def approve(self) -> Details:
        """Note that what the kit names may run here; what was noted."""
        return self.receipts.note("approved", approval(self.kit)).details

    def enter(self, connection: link.LinkSettings, stop: threading.Event, tell: Tell) -> None:
        """Approve the first kit, and join with each new one; either is repeated after a crash at any point.

        Raises:
            NotApproved: another image, slice, signer or a stricter policy was approved.
            CannotConnect: as :func:`nbfed_site.link.join`.
            StorageFull: nothing can be noted.
        """
        if not is_approved(self.kit, self.before):
            tell("approved", self.approve())
        if has_joined(self.kit, self.scratch, self.before):
            return
        certificate = link.join(connection, self.kit, stop, tell)
        if certificate is None:
            return
        write_private(self.scratch.certificate, certificate)
        kit, days = self.kit.kit, round(days_left(self.scratch.certificate))
        self.receipts.note("joined", {"kit": self.kit.digest, "server": kit.server, "days": days})
        tell("joined", {"federation": kit.federation, "site": kit.site, "days": days})


def approval(kit: KitFolder) -> Details:
    """What is approved with a kit, as its receipt says it."""
    return {
        "image": kit.kit.image,
        "slice": kit.kit.slice_digest,
        "signer": kit.signer,
        "policy": canonical_json(asdict(kit.kit.policy)).decode(),
        "kit": kit.digest,
    }


def is_approved(kit: KitFolder, before: Sequence[Receipt]) -> bool:
    """Whether this site approved what the kit names; False of a first kit, which its first start approves.

    Raises:
        NotApproved: another image, slice, signer or a stricter policy was approved.
    """
    given = [entry.details for entry in before if entry.event == "approved"]
    if any(_covers(details, kit) for details in given):
        return True
    if given:
        what = "This kit has another image, code or signer than this site approved, or lets more out."
        hint = "Ask the coordinator what changed; then allow it: sh site approve"
        raise NotApproved(what, where=kit.kit.image, hint=hint)
    return False


def _covers(details: Details, kit: KitFolder) -> bool:
    asked = approval(kit)
    policy = rebuilt(ReleasePolicy, json.loads(str(details["policy"])))
    same = all(details[name] == asked[name] for name in ("image", "slice", "signer"))
    return same and policy.tightened(kit.kit.policy) == kit.kit.policy


def has_joined(kit: KitFolder, scratch: Scratch, before: Sequence[Receipt]) -> bool:
    """Whether this site joined with this very kit, and its certificate is still good."""
    joined = [entry.details["kit"] for entry in before if entry.event == "joined"]
    if joined[-1:] != [kit.digest] or days_left(scratch.certificate) <= 0:
        return False
    return not flaw(scratch.certificate.read_bytes(), private_key(scratch.key), kit.authority.read_bytes())
