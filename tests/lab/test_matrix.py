"""The cells of the fault matrix that catch most; ``make faults`` runs all of them."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from .experiment import Bench, Result
from .table import cells, find

pytestmark = pytest.mark.end_to_end
AT_A_TIME = 3

CHOSEN = [
    ("site", "killed with -9", "joining"),
    ("site", "killed with -9", "uploading"),
    ("site", "restarted", "training"),
    ("site", "frozen", "training"),
    ("site", "cut off", "uploading"),
    ("site", "disk full", "downloading"),
    ("site", "clock off by a day", "training"),
    ("site", "certificate expired", "between rounds"),
    ("site", "wrong CA", "joining"),
    ("site", "stolen token used twice", "joining"),
    ("site", "stolen token used twice", "training"),
    ("site", "image digest changed", "before round 1"),
    ("site", "replayed update", "aggregating"),
    ("server", "killed with -9", "joining"),
    ("server", "killed with -9", "aggregating"),
    ("server", "restarted", "downloading"),
    ("server", "frozen", "uploading"),
    ("server", "disk full", "aggregating"),
    ("server", "clock off by a day", "between rounds"),
    ("server", "certificate expired", "training"),
    ("server", "image digest changed", "between rounds"),
    ("server", "garbage on the port", "uploading"),
    ("network", "frozen", "downloading"),
    ("network", "cut off", "uploading"),
    ("network", "wrong CA", "training"),
    ("network", "replayed update", "training"),
    ("network", "garbage on the port", "downloading"),
]


@pytest.fixture(scope="session")
def results(bench: Bench) -> Iterator[dict[tuple[str, str, str], Future[Result]]]:
    """All of them, a few at a time: most of each is waiting."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {names: pool.submit(bench.try_out, find(*names)) for names in CHOSEN}


@pytest.mark.parametrize("names", CHOSEN, ids="/".join)
def test_a_fault_ends_as_it_must(results, names: tuple[str, str, str]) -> None:
    if names[1] == "disk full" and os.getuid() != 0:
        pytest.skip("small disks need root")
    result = results[names].result()
    assert not result.problem, result.problem


def test_every_place_kind_and_moment_has_an_outcome_or_a_reason() -> None:
    found = list(cells())
    assert len(found) == 4 * 13 * 8 + 13  # and the author's push
    assert all(bool(cell.fault) != bool(cell.why) for cell in found)
