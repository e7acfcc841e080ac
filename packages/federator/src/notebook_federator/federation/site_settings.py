"""What a site's process is told at its start: one JSON file."""

from __future__ import annotations

from typing import Any

from .folder import RunFolder
from .settings import Member, RunSettings


def site_settings(folder: RunFolder, settings: RunSettings, member: Member, address: str) -> dict[str, Any]:
    """The settings file of one site's process, as plain JSON values."""
    return {"server": address, "name": member.name}
