"""What the doctor sees of the way to the server: proxy, name, certificates, clock, membership."""

from __future__ import annotations

from collections.abc import Iterator

from . import link
from .certificates import days_left
from .contracts import NbfedError
from .kit import KitFolder
from .machine import Finding, judged
from .scratch import Scratch

_CLOCK_SECONDS = 4.0  # less than what the server forgives
_SOON = 14


def consult(kit: KitFolder, scratch: Scratch, joined: bool) -> Iterator[Finding]:
    """Look at the server as this site would; the join token is shown where it must be, and not used up."""
    server = kit.kit.server
    proxy = link.proxy_of(server)
    yield Finding("ok", f"proxy: {proxy}" if proxy else "proxy: none is set, so the way is direct")
    own, key = (scratch.certificate, scratch.key) if joined else (kit.token, kit.token)
    settings = link.LinkSettings(server, kit.kit.site, key, kit.authority, own, kit.kit.slice_digest)
    left = days_left(own)
    what = "own certificate" if joined else "join token"
    yield judged(left > 0, f"{what}: {left:.0f} days left", "Ask the coordinator for a new kit.")
    try:
        probe = link.look(settings)
        yield Finding("ok", f"server: {server} answers, its name fits, and it takes this site's certificate")
        if probe.valid_days is not None:
            what = f"server's certificate: {probe.valid_days:.0f} days left"
            yield judged(probe.valid_days > _SOON, what, "The coordinator must renew it.", "warning")
        off = probe.clock_seconds or 0.0
        what = f"clock: {off:+.0f} s from the server's"
        yield judged(abs(off) < _CLOCK_SECONDS, what, "Set this machine's clock.")
        if joined:
            link.ask_admission(settings)
        known = "the server knows this site" if joined else "the first `up` joins"
        yield Finding("ok", f"membership: {known}")
    except NbfedError as error:
        yield Finding("no", error.what.rstrip("."), error.hint or "Ask the coordinator.")
