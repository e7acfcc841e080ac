"""What must come of a registry's faults, while an author pushes and while a site gets its image.

*The same* is here: the site takes part with the image that its kit names, or both images are in the
registry with the digests that they have without any fault. Where it *stops and says*, the cause is mended
then, and the same command has to do the same.
"""

from __future__ import annotations

from . import faults, registry_faults
from .moments import PUSHING
from .outcomes import Row, never, same, stops
from .store import NAME

PULLED = "it plays no part once the image is pulled: tests/containers/test_registry_gone.py"
NOT_TODAY = ("author", "certificate of .* is not valid today.*clock")
NOT_TRUSTED = ("author", "certificate of .* is not trusted.*SSL_CERT_FILE")


def registry(pushing: object, joining: object) -> Row:
    """A row of the registry's."""
    return {PUSHING: pushing, **never(PULLED), "joining": joining}  # type: ignore[dict-item]


REGISTRY: dict[str, Row] = {
    "killed with -9": registry(
        (registry_faults.killed, stops(2, ("author", "registry|connection|connections"))),
        (registry_faults.killed, stops(1)),
    ),
    "restarted": registry(
        (lambda: faults.restarted(NAME), same),
        (lambda: faults.restarted(NAME), same),
    ),
    "frozen": registry(
        (lambda: faults.frozen(NAME, 7.0), same),
        (registry_faults.stuck, stops(1, ("site", "Nothing came for 5 seconds"))),
    ),
    "cut off": registry(
        (lambda: faults.cut(NAME, seconds=4.0), same),
        (lambda: faults.cut(NAME, seconds=4.0), same),
    ),
    "slow": registry(
        (registry_faults.slow, same),
        (registry_faults.slow, same),
    ),
    "disk full": registry(
        (registry_faults.disk_full, stops(2, ("author", "says 500.*disk may be full"))),
        (registry_faults.disk_full, same),
    ),
    "clock off by a day": registry(
        (lambda: registry_faults.certificate(registry_faults.TOMORROW), stops(2, NOT_TODAY)),
        (
            lambda: registry_faults.certificate(registry_faults.TOMORROW),
            stops(1, ("site", "expired or is not yet valid")),
        ),
    ),
    "certificate expired": registry(
        (lambda: registry_faults.certificate(registry_faults.OLD), stops(2, NOT_TODAY)),
        (
            lambda: registry_faults.certificate(registry_faults.OLD),
            stops(1, ("site", "expired or is not yet valid")),
        ),
    ),
    "wrong CA": registry(
        (lambda: registry_faults.certificate(foreign=True), stops(2, NOT_TRUSTED)),
        (lambda: registry_faults.certificate(foreign=True), stops(1, ("site", "unknown authority"))),
    ),
    "stolen token used twice": registry(
        "who has an author's login can push, but not what a kit names: see image digest changed",
        "it is shown no token of a federation, and its images hold no secret",
    ),
    "image digest changed": registry(
        "a tag that names another image stays: tests/builds/test_refusals.py",
        (lambda: registry_faults.changed("study"), stops(1, ("site", "digest"))),
    ),
    "replayed update": registry("no update passes a registry", "no update passes a registry"),
    "garbage on the port": registry(
        (faults.garbage_on_the_port, same),
        (faults.garbage_on_the_port, same),
    ),
}
