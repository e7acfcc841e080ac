"""The cells of the registry that catch most, and the same with Podman; ``make faults`` runs all of them."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from .experiment import Result
from .outcomes import Cell, stops
from .pulling import STUDY, NotHere, podman_engine, pulling, put_image_in
from .registry_experiment import Counter, counter
from .registry_faults import changed
from .store import Store
from .table import find

pytestmark = pytest.mark.end_to_end
AT_A_TIME = 3

LAYER = Cell("registry", "layer changed", "joining", lambda: changed("layer"), stops(1))
CHOSEN = [
    find("registry", "restarted", "joining"),
    find("registry", "frozen", "joining"),
    find("registry", "image digest changed", "joining"),
    find("registry", "killed with -9", "pushing"),
    find("registry", "frozen", "pushing"),
    find("registry", "disk full", "pushing"),
    find("registry", "wrong CA", "pushing"),
]
OF_PODMAN = [LAYER, find("registry", "frozen", "joining")]


def named(cell: Cell) -> str:
    return f"{cell.kind}/{cell.moment}"


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    """An author, and a site's Docker."""
    with counter(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(scope="session")
def results(desk: Counter) -> Iterator[dict[str, Future[Result]]]:
    """All of them, a few at a time: most of each is waiting."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        here = [cell for cell in CHOSEN if not desk.lacks(cell)]
        yield {named(cell): pool.submit(desk.try_out, cell) for cell in here}


@pytest.mark.parametrize("cell", CHOSEN, ids=named)
def test_a_registry_s_fault_ends_as_it_must(desk: Counter, results, cell: Cell) -> None:
    if reason := desk.lacks(cell):
        pytest.skip(reason)
    if cell.kind == "disk full" and os.getuid() != 0:
        pytest.skip("small disks need root")
    result = results[named(cell)].result()
    assert not result.problem, result.problem


@pytest.fixture(scope="session")
def podman_desk(desk: Counter) -> Iterator[Counter]:
    """A site's Podman."""
    try:
        with podman_engine() as engine:
            yield replace(desk, folder=desk.folder / "podman", engine=engine)
    except NotHere as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("cell", OF_PODMAN, ids=named)
def test_a_registry_s_fault_ends_as_it_must_with_podman(podman_desk: Counter, cell: Cell) -> None:
    result = podman_desk.try_out(cell)
    assert not result.problem, result.problem


def test_a_kit_with_the_image_in_it_needs_no_registry(desk: Counter, tmp_path: Path) -> None:
    if desk.engine is None:
        pytest.skip(desk.missing)
    store = Store(tmp_path / "registry", secure=False)
    try:
        with pulling(desk.engine, tmp_path / "site", store) as pull:
            offline = put_image_in(pull.site, pull.reference, store)
            store.kill()
            assert "error: The image cannot be pulled." in pull.attempt().stderr
            try:
                assert "The site takes part." in offline.on_data("up").stderr
                assert offline("logs").stdout == f"{STUDY}\n"
            finally:
                offline("erase", "--yes")
    finally:
        store.close()
