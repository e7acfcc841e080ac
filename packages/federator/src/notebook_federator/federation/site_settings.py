"""What a site's process is told at its start: one JSON file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .folder import RunFolder
from .resolving import read_partition
from .settings import Member, RunSettings


def site_settings(folder: RunFolder, settings: RunSettings, member: Member, address: str) -> dict[str, Any]:
    """The settings file of one site's process, as plain JSON values; a site learns of no other site."""
    own = folder.site(member.name).resolve()
    return {
        "server": address,
        "name": member.name,
        "key": str(own / "key.pem"),
        "slice": str(folder.slice.resolve()),
        "receipts": str(own / "receipts.jsonl"),
        "data_path": member.data,
        "parameters": dict(settings.parameters),
        "partition": partition(settings, member),
        "policy": asdict(settings.policy),
        "events": 1,
        "wire": settings.wire,
        "threads": settings.threads,
        "heartbeat_seconds": settings.heartbeat,
        "parent_pipe": True,
    }


def partition(settings: RunSettings, member: Member) -> dict[str, Any] | None:
    """The share of the notebook's own data that a member gets; None where it has a folder."""
    if settings.partition is None:
        return None
    return {
        "index": settings.members.index(member),
        "count": len(settings.members),
        "seed": settings.seed,
        **read_partition(settings.partition),
    }
