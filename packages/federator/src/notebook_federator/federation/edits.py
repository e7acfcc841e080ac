"""Takes up what was edited in ``federation.toml``: every change becomes an entry in the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from nbfed_site.contracts import json_digest

from .federation_folder import FederationFolder
from .federation_settings import FederationSettings, flat
from .membership import Membership, fold

BY_HAND = "It was taken out of federation.toml."


def settled(
    folder: FederationFolder, now: datetime, reasons: Mapping[str, str] | None = None
) -> tuple[FederationSettings, Membership]:
    """The federation's settings and members, after everything that was edited is in the ledger.

    A server certificate that names another host than ``federation.toml`` is made anew. Whoever calls this
    holds the folder (:meth:`FederationFolder.locked`), and goes on to hold it until what it decides by the
    result is in the ledger.

    Args:
        now: UTC, for a new certificate.
        reasons: why sites were taken out of ``federation.toml``, by name.

    Raises:
        FederationUnreadable: the settings make no sense, or files are missing.
        LedgerBroken: the file is not a ledger.
    """
    settings = folder.settings()
    with folder.open_ledger() as ledger:
        membership = fold(ledger.entries())
        for kind, body in edits(settings, membership, reasons or {}):
            membership = membership.after(ledger.append(kind, **body))
    folder.certify_server(settings.host, now)
    return settings, membership


def unrecorded(settings: FederationSettings, membership: Membership) -> tuple[str, ...]:
    """The keys and sites of which ``federation.toml`` says something else than the ledger."""
    found: list[str] = []
    for kind, body in edits(settings, membership, {}):
        found += body["changed"] if kind == "settings" else [body["site"]]
    return tuple(found)


def edits(
    settings: FederationSettings, membership: Membership, reasons: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries, kind and body each, that are missing in the ledger."""
    now, before = flat(settings), membership.settings
    changed = {key: now.get(key) for key in sorted({**before, **now}) if before.get(key) != now.get(key)}
    if changed:
        yield "settings", {"digest": json_digest(now), "changed": changed}
    members = {site.name for site in membership.members}
    for name in settings.sites:
        if name not in members:
            yield "site_added", {"site": name}
    for name in sorted(members.difference(settings.sites)):
        yield "site_removed", {"site": name, "reason": reasons.get(name, BY_HAND)}
