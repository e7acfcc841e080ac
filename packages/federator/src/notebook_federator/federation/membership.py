"""Who belongs to a federation by now: a pure fold over its ledger, and the decisions that rest on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..ledger import Entry
from ..rounds.orders import Orders

_IN_KITS = ("contact", "data.", "images.", "name", "policy.", "retention_days", "rounds.wire", "server")


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """What the ledger says of one site; texts are empty where nothing is known yet.

    Attributes:
        kit: digest of the newest kit. serial: its number, counted up over all kits of this site.
        token, token_expires: id and end (UTC, ISO 8601) of that kit's join token.
        joined_token: id of the token that the site joined with, and so used up.
        key: the site's public key, PEM. certificate, certificate_expires: serial number and end.
        outdated: whether settings that kits hold have changed since its newest kit.
        removed: why it was removed; None for a member. waived: why its card is taken as it is.
    """

    name: str
    kit: str = ""
    serial: int = 0
    token: str = ""
    token_expires: str = ""
    joined_token: str = ""
    key: bytes = b""
    certificate: str = ""
    certificate_expires: str = ""
    outdated: bool = False
    removed: str | None = None
    waived: str = ""


@dataclass(frozen=True, slots=True)
class RunNote:
    """What the federation's ledger says of one run.

    Attributes:
        entries, head: of its own ledger, where it finished: their number, and the hash of the last.
        ended: when it finished or was stopped (UTC, ISO 8601); empty while it goes on.
        expired: whether it was erased when its time was over.
    """

    number: int
    finished: bool = False
    entries: int = 0
    head: str = ""
    ended: str = ""
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Membership:
    """The federation as its ledger tells it.

    Attributes:
        entries: number of entries folded. head: hash of the last of them.
        key: public key (PEM) that the ledger is signed with.
        settings: those of ``federation.toml`` as last recorded, ``TABLE.KEY`` each.
        sites: by name, with those that were removed.
        refusals: (site, reason) of every refused join so far.
        runs: by number.
    """

    name: str = ""
    server: str = ""
    authority: str = ""
    key: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    entries: int = 0
    head: str = ""
    sites: Mapping[str, SiteRecord] = field(default_factory=dict)
    paused: bool = False
    stopped: bool = False
    refusals: frozenset[tuple[str, str]] = frozenset()
    runs: Mapping[int, RunNote] = field(default_factory=dict)

    @property
    def members(self) -> tuple[SiteRecord, ...]:
        """The sites that were added and not removed, sorted by name."""
        return tuple(site for _, site in sorted(self.sites.items()) if site.removed is None)

    def member(self, name: str) -> SiteRecord | None:
        """The member of this name; None where there is none, or it was removed."""
        found = self.sites.get(name)
        return found if found is not None and found.removed is None else None

    def after(self, entry: Entry) -> Membership:
        """The federation after one more entry; kinds that say nothing about it change nothing."""
        change = CHANGES.get(entry.kind)
        now = change(self, {"at": entry.at, **entry.body}) if change else self
        return replace(now, entries=entry.sequence + 1, head=entry.hash)


def fold(entries: Iterable[Entry], start: Membership | None = None) -> Membership:
    """The federation after these entries of its ledger; ``start`` is where earlier ones led."""
    found = start or Membership()
    for entry in entries:
        found = found.after(entry)
    return found


def orders(membership: Membership) -> Orders:
    """The coordinator's standing decisions, for the round loop."""
    members = membership.members
    return Orders(
        sites=tuple(site.name for site in members),
        waived={site.name: site.waived for site in members if site.waived},
        paused=membership.paused,
        stopped=membership.stopped,
        keys={site.name: site.key.decode() for site in members if site.key},
        head=f"{membership.entries}:{membership.head}",
    )


def _created(before: Membership, body: Mapping[str, Any]) -> Membership:
    name, server, key, authority = (str(body[item]) for item in ("name", "server", "key", "authority"))
    return replace(before, name=name, server=server, key=key, authority=authority)


def _settings(before: Membership, body: Mapping[str, Any]) -> Membership:
    """Changed settings; None stands for one that is gone."""
    changed: Mapping[str, Any] = body["changed"]
    settings = {key: value for key, value in {**before.settings, **changed}.items() if value is not None}
    sites = before.sites
    if any(key.startswith(_IN_KITS) for key in changed):
        sites = {name: replace(site, outdated=site.kit != "") for name, site in sites.items()}
    return replace(before, settings=settings, sites=sites)


def _site_added(before: Membership, body: Mapping[str, Any]) -> Membership:
    """A site that comes again starts anew: its old kits and its old key stay refused."""
    name = str(body["site"])
    known = before.sites.get(name)
    if known is not None and known.removed is None:
        return before
    return _with(before, SiteRecord(name, serial=known.serial if known else 0))


def _site_removed(before: Membership, body: Mapping[str, Any]) -> Membership:
    return _changed(before, body, removed=str(body["reason"]))


def _kit_issued(before: Membership, body: Mapping[str, Any]) -> Membership:
    return _changed(
        before,
        body,
        kit=str(body["kit"]),
        serial=int(body["serial"]),
        token=str(body["token"]),
        token_expires=str(body["expires"]),
        outdated=False,
    )


def _site_joined(before: Membership, body: Mapping[str, Any]) -> Membership:
    return _changed(
        before,
        body,
        joined_token=str(body["token"]),
        key=str(body["key"]).encode(),
        certificate=str(body["certificate"]),
        certificate_expires=str(body["expires"]),
    )


def _join_refused(before: Membership, body: Mapping[str, Any]) -> Membership:
    return replace(before, refusals=before.refusals | {(str(body["site"]), str(body["reason"]))})


def _waived(before: Membership, body: Mapping[str, Any]) -> Membership:
    return _changed(before, body, waived=str(body["reason"]))


def _ordered(before: Membership, body: Mapping[str, Any]) -> Membership:
    order = body["order"]
    if order == "resume":
        return replace(before, paused=False, stopped=False, runs=_ended(before, ""))
    if order == "stop":
        return replace(before, stopped=True, runs=_ended(before, str(body["at"])))
    return replace(before, paused=True)


def _ended(before: Membership, at: str) -> Mapping[int, RunNote]:
    """The runs, of which the newest ended at this time unless it had finished; with no time it goes on."""
    newest = before.runs.get(max(before.runs, default=0))
    if newest is None or newest.finished:
        return before.runs
    return {**before.runs, newest.number: replace(newest, ended=at)}


def _run_started(before: Membership, body: Mapping[str, Any]) -> Membership:
    """A new run begins without the order to stop that ended the run before."""
    number = int(body["run"])
    return replace(before, stopped=False, runs={**before.runs, number: RunNote(number)})


def _run_finished(before: Membership, body: Mapping[str, Any]) -> Membership:
    note = RunNote(int(body["run"]), True, int(body["entries"]), str(body["head"]), str(body["at"]))
    return replace(before, runs={**before.runs, note.number: note})


def _run_expired(before: Membership, body: Mapping[str, Any]) -> Membership:
    number = int(body["run"])
    return replace(before, runs={**before.runs, number: replace(before.runs[number], expired=True)})


CHANGES = {
    "created": _created,
    "settings": _settings,
    "site_added": _site_added,
    "site_removed": _site_removed,
    "kit_issued": _kit_issued,
    "site_joined": _site_joined,
    "join_refused": _join_refused,
    "waived": _waived,
    "ordered": _ordered,
    "run_started": _run_started,
    "run_finished": _run_finished,
    "run_expired": _run_expired,
}


def _changed(before: Membership, body: Mapping[str, Any], **fields: Any) -> Membership:
    """One site's record with some fields changed; a site that was never added stays unknown."""
    found = before.sites.get(str(body["site"]))
    return before if found is None else _with(before, replace(found, **fields))


def _with(before: Membership, site: SiteRecord) -> Membership:
    return replace(before, sites={**before.sites, site.name: site})
