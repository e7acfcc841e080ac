"""What must come of each fault: the same model, a run with its quorum, or a stop that says why."""

from __future__ import annotations

from collections.abc import Iterator

from . import faults
from .faults import QUORUM, SHORT, Fault
from .outcomes import KINDS, Cell, Row, never, quorate, row, same, saying, stops
from .registry_table import REGISTRY

ENDED = "the process ended with the run"
TRAINED = '"event":"kept","round":2'  # the server had this update, and lost it
CLOSED = "the server's port is closed: nothing listens, nothing is on the way"

SITE: dict[str, Row] = {
    "killed with -9": row(lambda: faults.killed("b"), after_the_end=(lambda: faults.comes_back("b"), same)),
    "restarted": row(lambda: faults.restarted("b"), after_the_end=(lambda: faults.comes_back("b"), same)),
    "frozen": row(lambda: faults.frozen_for_good("b"), quorate(), after_the_end=ENDED),
    "cut off": row(lambda: faults.cut_for_good("b"), quorate(), after_the_end=ENDED),
    "slow": row(lambda: faults.sluggish("b", 6.0), after_the_end=ENDED),
    "disk full": row(
        lambda: faults.disk_full("b", wishes=QUORUM), quorate(("run", "NE501")),
        joining=(lambda: faults.disk_full("b", wishes=QUORUM, early=True),
                 quorate(("b", "cannot be written: No space left"))),
        after_the_end=ENDED,
    ),
    "clock off by a day": row(
        lambda: faults.clock("b"), uploading=(lambda: faults.clock("b", -faults.DAY), same),
        after_the_end=ENDED,
    ),
    "certificate expired": row(
        lambda: faults.restarted_with("b", faults.site_certificate(500, foreign=False)),
        joining=(lambda: Fault(faults.nothing, prepare=faults.old_kit, wishes=QUORUM),
                 quorate(("b", "NE20[34].*expired"))),
        after_the_end=ENDED,
    ),
    "wrong CA": row(
        lambda: faults.restarted_with("b", faults.site_certificate(0, foreign=True)),
        joining=(lambda: Fault(faults.nothing, prepare=faults.foreign_kit, wishes=QUORUM),
                 quorate(("b", "NE204"))),
        after_the_end=ENDED,
    ),
    "stolen token used twice": row(
        lambda: Fault(faults.thief, 4.0),
        saying(("thief", "used before"), ("federation", "join_refused.*used before")),
        joining=(lambda: Fault(faults.nothing, prepare=faults.thief_first, wishes=QUORUM),
                 quorate(("b", "used before"), ("federation", "join_refused.*used before"))),
        after_the_end=CLOSED,
    ),
    "image digest changed": row(
        lambda: faults.restarted_with("b", faults.other_slice, wishes=QUORUM),
        quorate(("b", "NE406.*The kit is for the slice")),
        after_the_end=ENDED,
    ),
    "replayed update": row(
        lambda: Fault(faults.replay, prepare=faults.replaying),
        joining="there is no update yet",
        before_round_1="there is no update yet",
        after_the_end=CLOSED,
    ),
    "garbage on the port": never("a site listens on no port"),
}  # fmt: skip

SERVER: dict[str, Row] = {
    "killed with -9": row(
        lambda: faults.killed("server"),
        aggregating=(lambda: faults.killed("server"), saying(("a", TRAINED))),
        after_the_end=(lambda: faults.comes_back("server"), same),
    ),
    "restarted": row(
        lambda: faults.restarted("server"),
        aggregating=(lambda: faults.restarted("server"), saying(("a", TRAINED))),
        after_the_end=(lambda: faults.comes_back("server"), same),
    ),
    "frozen": row(lambda: faults.frozen("server", 7.0), after_the_end=ENDED),
    "cut off": row(lambda: faults.cut("a", "b", "c", seconds=5.0), after_the_end=ENDED),
    "slow": row(lambda: faults.sluggish("server", 6.0), after_the_end=ENDED),
    "disk full": row(
        lambda: faults.disk_full("server", again=True),
        saying(("server", "NE501")),
        after_the_end=(lambda: faults.disk_full("server"), same),
    ),
    "clock off by a day": row(
        lambda: faults.clock("server"), uploading=(lambda: faults.clock("server", -faults.DAY), same)
    ),
    "certificate expired": row(
        lambda: faults.restarted_with("server", faults.server_certificate(4000, foreign=False), wishes=SHORT),
        stops(3, ("b", "NE204|expired")),
        after_the_end=ENDED,
    ),
    "wrong CA": row(
        lambda: faults.restarted_with("server", faults.server_certificate(0, foreign=True), wishes=SHORT),
        stops(3, ("b", "NE204|verify failed|unable to get local issuer")),
        after_the_end=ENDED,
    ),
    "stolen token used twice": never("a token is a site's"),
    "image digest changed": row(
        lambda: faults.restarted_with("server", faults.other_manifest),
        stops(4, ("server", "NE40[345]")),
        after_the_end=ENDED,
    ),
    "replayed update": never("an update is a site's"),
    "garbage on the port": row(faults.garbage_on_the_port, after_the_end=CLOSED),
}

NETWORK: dict[str, Row] = {
    "killed with -9": never("a network is no process"),
    "restarted": row(lambda: faults.cut("b", seconds=0.3), after_the_end=CLOSED),
    "frozen": row(lambda: faults.black_hole("a", "b", "c", seconds=7.0), after_the_end=CLOSED),
    "cut off": row(lambda: faults.cut("b", seconds=5.0), after_the_end=CLOSED),
    "slow": row(lambda: faults.slow("a", "b", "c"), after_the_end=CLOSED),
    "disk full": never("a network has no disk"),
    "clock off by a day": never("a network has no clock"),
    "certificate expired": never("a network holds no certificate; somebody on the way: see wrong CA"),
    "wrong CA": row(
        lambda: faults.impostor("b", 4.0), saying(("b", "NE204|verify failed|unable to get local issuer")),
        after_the_end=CLOSED,
    ),
    "stolen token used twice": never("tokens cross it inside TLS only"),
    "image digest changed": never("images come from the registry"),
    "replayed update": row(lambda: faults.recorded_and_replayed("b"), after_the_end=CLOSED),
    "garbage on the port": row(lambda: faults.flipped("b"), after_the_end=CLOSED),
}  # fmt: skip

ROWS = {"site": SITE, "server": SERVER, "network": NETWORK, "registry": REGISTRY}


def cells() -> Iterator[Cell]:
    """The whole matrix."""
    for place, rows in ROWS.items():
        for kind in KINDS:
            for moment, found in rows[kind].items():
                if isinstance(found, str):
                    yield Cell(place, kind, moment, why=found)
                else:
                    yield Cell(place, kind, moment, *found)


def find(place: str, kind: str, moment: str) -> Cell:
    """One cell."""
    return next(cell for cell in cells() if (cell.place, cell.kind, cell.moment) == (place, kind, moment))
