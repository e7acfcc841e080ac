"""The coordinator's decisions about a federation that exists; each is an entry in its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from nbfed_site.contracts import SettingsInvalid

from . import settings_editing
from .edits import settled
from .federation_folder import FederationFolder
from .membership import Membership, SiteRecord
from .resolving import checked_name


@dataclass(frozen=True, slots=True)
class Changed:
    """What a command did.

    Attributes:
        done: one sentence for each change; of what was so already, too.
        notes: what the coordinator should look at. upcoming: the command to give next, if any.
    """

    folder: FederationFolder
    membership: Membership
    done: tuple[str, ...]
    notes: tuple[str, ...] = ()
    upcoming: str = ""


def add_sites(folder: FederationFolder, names: Sequence[str], now: datetime) -> Changed:
    """Make sites members; those that are stay what they are.

    Raises:
        SettingsInvalid: a name cannot be one.
    """
    with folder.locked():
        settings = folder.settings()
        new = [checked_name(name) for name in dict.fromkeys(names) if name not in settings.sites]
        settings_editing.change(folder.settings_file, sites=(*settings.sites, *new))
        _, membership = settled(folder, now)
    said = [f"{name} is a member now." if name in new else f"{name} is a member already." for name in names]
    without = [site.name for site in membership.members if not site.kit]
    upcoming = f"nbfed kit {without[0]}" if without else ""
    return Changed(folder, membership, tuple(said), upcoming=upcoming)


def remove_site(folder: FederationFolder, name: str, reason: str, now: datetime) -> Changed:
    """Take a site out; what it contributed stays in models and records.

    Raises:
        SettingsInvalid: there never was such a site.
    """
    with folder.locked():
        settings, before = settled(folder, now)
        if name in before.sites and before.member(name) is None:
            return Changed(folder, before, (f"{name} was removed already.",))
        _member(before, name)
        left = tuple(site for site in settings.sites if site != name)
        settings_editing.change(folder.settings_file, sites=left)
        _, membership = settled(folder, now, {name: reason})
        return Changed(folder, membership, (f"{name} is no member any more.",))


def waive(folder: FederationFolder, name: str, reason: str, now: datetime) -> Changed:
    """Take a site's data as they are, although they miss the data contract.

    Raises:
        SettingsInvalid: there is no such member.
    """
    said = f"{name} is taken with its data as they are."
    with folder.locked():
        _, before = settled(folder, now)
        if _member(before, name).waived == reason:
            return Changed(folder, before, (f"{name} is waived already.",))
        return _recorded(folder, before, said, "waived", site=name, reason=reason)


def _member(membership: Membership, name: str) -> SiteRecord:
    found = membership.member(name)
    if found is None:
        known = ", ".join(site.name for site in membership.members) or "none yet"
        raise SettingsInvalid(f"{name} is not a site of this federation.", hint=f"Its sites: {known}.")
    return found


def order(folder: FederationFolder, what: str, now: datetime) -> Changed:
    """Have the server ``pause``, ``resume`` or ``stop`` its run; it hears of it within a second."""
    state = {
        "pause": "No new round begins.",
        "resume": "Rounds go on.",
        "stop": "The run ends; its finished rounds are kept.",
    }[what]
    with folder.locked():
        _, before = settled(folder, now)
        held = before.paused or before.stopped
        if {"pause": before.paused, "resume": not held, "stop": before.stopped}[what]:
            return Changed(folder, before, (f"{state} That was so already.",))
        return _recorded(folder, before, state, "ordered", order=what)


def _recorded(folder: FederationFolder, before: Membership, said: str, kind: str, **body: str) -> Changed:
    with folder.open_ledger() as ledger:
        return Changed(folder, before.after(ledger.append(kind, **body)), (said,))
