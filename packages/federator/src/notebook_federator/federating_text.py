"""What `nbfed federation` takes and prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import SettingsInvalid

from .console import Answer
from .federation.federation_toml import deadline, quorum, server_address
from .federation.retention import kept_until

if TYPE_CHECKING:
    from .federating import Changed
    from .federation.federation_folder import FederationFolder
    from .federation.federation_settings import FederationSettings
    from .federation.membership import Membership, RunNote, SiteRecord

_SOON = timedelta(days=30)


def asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `init` as values.

    Raises:
        SettingsInvalid: an option has no meaning.
    """
    found = dict(options)
    checks = {
        "server": (server_address, "Write --server https://HOST:PORT"),
        "quorum": (quorum, "Write a number of sites (2) or a share (60%)."),
        "deadline": (deadline, "Write auto, or a number of seconds."),
    }
    for name, (check, hint) in checks.items():
        if found[name] is not None:
            try:
                found[name] = check(found[name])
            except ValueError:
                what = f"{found[name]!r} cannot be used."
                raise SettingsInvalid(what, where=f"--{name}", hint=hint) from None
    return found


def answer_of(changed: Changed, edited: Sequence[str] = ()) -> Answer:
    """What a command did, and what to do next; ``edited`` by hand before it, and recorded with it."""
    lines = [*_recorded(edited), *changed.done, *changed.notes]
    if changed.upcoming:
        path = changed.folder.path.resolve()
        found_anyway = Path.cwd() in (path, path.parent)
        lines.append(f"Next: {changed.upcoming}" + ("" if found_anyway else f" --folder {path}"))
    said = {"done": list(changed.done), "notes": list(changed.notes), "recorded": list(edited)}
    return Answer("\n".join(lines), {**_data(changed.folder, changed.membership), **said})


def overview(
    folder: FederationFolder,
    settings: FederationSettings,
    membership: Membership,
    now: datetime,
    edited: Sequence[str],
) -> Answer:
    """The federation and its sites, a line each; ``edited`` as in :func:`answer_of`."""
    wishes = settings.rounds
    state = "stopped" if membership.stopped else "paused" if membership.paused else "open"
    lines = [
        *_recorded(edited),
        f"{settings.name}, {settings.server} ({state})",
        f"quorum {wishes.quorum}, deadline {_seconds(wishes.deadline)}, stragglers {wishes.stragglers}",
        "",
        *_aligned([("site", "state", "kit", ""), *(_row(site, now) for site in _shown(membership))]),
        *_runs(membership, settings.retention_days, now),
    ]
    return Answer("\n".join(lines), {**_data(folder, membership), "recorded": list(edited)})


def _recorded(edited: Sequence[str]) -> Iterator[str]:
    if edited:
        yield f"Recorded what was edited in federation.toml: {', '.join(edited)}."


def _seconds(value: float | None) -> str:
    return "auto" if value is None else f"{value:g} s"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _runs(membership: Membership, days: int, now: datetime) -> Iterator[str]:
    """The runs that are here still and over, and until when they are kept."""
    for run in membership.runs.values():
        until = kept_until(run, days)
        if until is not None and not run.expired:
            over = until <= now
            kept = "its time is over: nbfed federation expire" if over else f"kept until {until:%Y-%m-%d}"
            yield f"run {run.number} ended {run.ended[:10]}; {kept}"


def _shown(membership: Membership) -> list[SiteRecord]:
    return [site for _, site in sorted(membership.sites.items())]


def _row(site: SiteRecord, now: datetime) -> tuple[str, str, str, str]:
    kit = f"{site.serial}" if site.kit else "none"
    return site.name, _state(site), kit, " ".join(_remarks(site, now))


def _state(site: SiteRecord) -> str:
    if site.removed is not None:
        return "removed"
    if site.key:
        return "joined"
    return "invited" if site.kit else "added"


def _remarks(site: SiteRecord, now: datetime) -> Iterator[str]:
    if site.removed is not None:
        yield site.removed
        return
    if site.outdated:
        yield "Settings have changed: make a new kit."
    if site.kit and site.joined_token != site.token:
        over = datetime.fromisoformat(site.token_expires) <= now
        yield f"Its token {'expired' if over else 'can be used until'} {site.token_expires[:10]}."
    if site.certificate_expires and datetime.fromisoformat(site.certificate_expires) <= now + _SOON:
        yield f"Its certificate ends {site.certificate_expires[:10]}: make a new kit."
    if site.waived:
        yield f"Waived: {site.waived}"


def _data(folder: FederationFolder, membership: Membership) -> dict[str, Any]:
    return {
        "federation": str(folder.path),
        "name": membership.name,
        "server": membership.settings["server"],
        "paused": membership.paused,
        "stopped": membership.stopped,
        "sites": [_site_data(site) for site in _shown(membership)],
        "runs": [_run_data(run) for run in membership.runs.values()],
        "entries": membership.entries,
    }


def _run_data(run: RunNote) -> dict[str, Any]:
    return {"number": run.number, "finished": run.finished, "ended": run.ended, "expired": run.expired}


def _site_data(site: SiteRecord) -> dict[str, Any]:
    return {
        "name": site.name,
        "state": _state(site),
        "kit": site.kit,
        "serial": site.serial,
        "outdated": site.outdated,
        "token_expires": site.token_expires,
        "certificate_expires": site.certificate_expires,
        "removed": site.removed,
        "waived": site.waived,
    }
