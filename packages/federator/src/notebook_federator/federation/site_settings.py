"""What a site's process is told at its start: one JSON file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nbfed_site.contracts import ReleasePolicy, SettingsInvalid

from .folder import RunFolder
from .settings import Member, RunSettings


def site_settings(folder: RunFolder, settings: RunSettings, member: Member, address: str) -> dict[str, Any]:
    """The settings file of one site's process, as plain JSON values; a site learns of no other site."""
    own = folder.site(member.name).resolve()
    policy = ReleasePolicy(min_examples=settings.min_examples, allow_messages=settings.allow_messages)
    return {
        "server": address,
        "name": member.name,
        "key": str(own / "key.pem"),
        "slice": str(folder.slice.resolve()),
        "receipts": str(own / "receipts.jsonl"),
        "data_path": member.data,
        "parameters": dict(settings.parameters),
        "partition": partition(settings, member),
        "policy": asdict(policy),
        "events": 1,
        "wire": settings.wire,
        "threads": settings.threads,
        "heartbeat_seconds": settings.heartbeat,
        "parent_pipe": True,
    }


def partition(settings: RunSettings, member: Member) -> dict[str, Any] | None:
    """The share of the notebook's own data that a member gets; None where it has a folder.

    Raises:
        SettingsInvalid: ``settings.partition`` is not ``iid`` or ``dirichlet:ALPHA``.
    """
    if settings.partition is None:
        return None
    scheme, _, alpha = settings.partition.partition(":")
    shares = {
        "index": settings.members.index(member),
        "count": len(settings.members),
        "scheme": scheme,
        "seed": settings.seed,
    }
    try:
        found = {**shares, "alpha": float(alpha)} if alpha else shares
    except ValueError:
        found = {"scheme": ""}
    if found["scheme"] not in ("iid", "dirichlet"):
        raise SettingsInvalid(
            f"{settings.partition!r} is no way to share data out.", hint="Use iid, or dirichlet:0.5"
        )
    return found
