"""What the doctor sees of the way to the server: proxy, name, certificates, clock, membership."""

from __future__ import annotations

from collections.abc import Iterator

from . import link
from .certificates import days_left
from .contracts import NbfedError
from .kit import KitFolder
from .machine import Finding, judged
from .scratch import Scratch

_CLOCK_SECONDS = 60.0
_SOON = 14


def consult(kit: KitFolder, scratch: Scratch, joined: bool) -> Iterator[Finding]:
    """Look at the server as this site would; the join token is shown where it must be, and not used up."""
    try:
        yield from _consult(kit, scratch, joined)
    except NbfedError as error:
        yield Finding("no", error.what.rstrip("."), error.hint or "Ask the coordinator.")


def _consult(kit: KitFolder, scratch: Scratch, joined: bool) -> Iterator[Finding]:
    server = kit.kit.server
    proxy = link.proxy_of(server)
    yield Finding("ok", f"proxy: {proxy}" if proxy else "proxy: none is set, so the way is direct")
    own, key = (scratch.certificate, scratch.key) if joined else (kit.token, kit.token)
    settings = link.LinkSettings(server, kit.kit.site, key, kit.authority, own, kit.kit.slice_digest)
    yield _expiry(days_left(own), joined)
    probe = link.look(settings)
    yield Finding("ok", f"server: {server} answers, its name fits, and it takes this site's certificate")
    if probe.valid_days is not None:
        what = f"server's certificate: {probe.valid_days:.0f} days left"
        yield judged(probe.valid_days > _SOON, what, "The coordinator must renew it.", "warning")
    off = probe.clock_seconds or 0.0
    what = f"clock: {off:+.0f} s from the server's"
    advice = "Set this machine's clock (NTP), or the times in this site's record are wrong."
    yield judged(abs(off) < _CLOCK_SECONDS, what, advice, "warning")
    if joined:
        link.ask_admission(settings)
    yield Finding("ok", "membership: " + ("the server knows this site" if joined else "the first `up` joins"))


def _expiry(left: float, joined: bool) -> Finding:
    """How long this site is let in for: a certificate lasts for a study, a join token until it is used."""
    what, soon = ("own certificate", 30) if joined else ("join token", 3)
    advice = "Ask the coordinator for a new kit; `up` from its folder joins anew."
    if left > 0 and not joined:
        advice = "Start `up` before then, or ask the coordinator for a new kit."
    return judged(left > soon, f"{what}: {left:.0f} days left", advice, "warning" if left > 0 else "no")
