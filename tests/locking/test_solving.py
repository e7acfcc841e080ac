"""The resolver's answers: which wheel of several, and what is said where there is none."""

import dataclasses
from pathlib import Path

import pytest
from notebook_federator.locking import LockUnsolvable, Target
from notebook_federator.locking.solving import UNKNOWN_SIZE

from .conftest import TARGET, Solve, make_sdist, make_wheel

MANYLINUX = "cp311-cp311-manylinux"


def test_the_best_of_several_wheels_is_taken(wheels: Path, solve_here: Solve) -> None:
    for tag in (
        "py3-none-any",
        f"{MANYLINUX}2014_x86_64",
        f"{MANYLINUX}_2_28_x86_64",
        "cp310-abi3-linux_x86_64",
    ):
        make_wheel(wheels, "many", "1.0", tag)
    (wheel,) = solve_here("many")
    assert wheel.filename == f"many-1.0-{MANYLINUX}_2_28_x86_64.whl"
    assert wheel.url == (wheels / wheel.filename).as_uri()
    assert wheel.size == UNKNOWN_SIZE


def test_the_target_decides_and_not_this_machine(wheels: Path, solve_here: Solve) -> None:
    for tag in (f"{MANYLINUX}2014_x86_64", "cp312-cp312-manylinux2014_aarch64"):
        make_wheel(wheels, "many", "1.0", tag)
    (wheel,) = solve_here("many", target=Target("3.12", "linux/arm64", "cpu", ""))
    assert wheel.filename.endswith("cp312-manylinux2014_aarch64.whl")


def test_versions_that_are_preferred_are_kept_where_nothing_speaks_against_them(
    wheels: Path, solve_here: Solve
) -> None:
    for version in ("1.0", "2.0"):
        make_wheel(wheels, "free", version)
        make_wheel(wheels, "bound", version)
    make_sdist(wheels, "source", "1.0")
    make_wheel(wheels, "source", "2.0")
    preferred = {"free": "1.0", "bound": "1.0", "source": "1.0", "absent": "3"}
    found = solve_here("free", "bound>=2", "source", preferred=preferred)
    assert {wheel.name: wheel.version for wheel in found} == {"free": "1.0", "bound": "2.0", "source": "2.0"}


def test_a_requirement_by_url_gives_its_wheel(wheels: Path, solve_here: Solve) -> None:
    path = make_wheel(wheels, "single", "1.0")
    (wheel,) = solve_here(f"single @ {path.as_uri()}")
    assert (wheel.name, wheel.version, wheel.filename) == ("single", "1.0", path.name)


@dataclasses.dataclass(frozen=True)
class Bad:
    """Requirement lines that no wheels satisfy, and what is said of them."""

    asked: tuple[str, ...]
    kind: str
    distributions: tuple[str, ...]
    says: str


BAD = [
    Bad(
        ("source",),
        "no wheel",
        ("source",),
        "source has no wheel for Python 3.11 on linux/amd64, only its source",
    ),
    Bad(("source==1.0",), "no wheel", ("source",), "source==1.0 has no wheel"),
    Bad(("old_python",), "no wheel", ("old-python",), "there are some for cp38"),
    Bad(("windows",), "no wheel", ("windows",), "there are some for win_amd64"),
    Bad(("needs_source",), "no wheel", ("source", "needs-source"), "which needs_source needs"),
    Bad(("ghost",), "unknown", ("ghost",), "There is no ghost to be had"),
    Bad(("pure==9",), "unknown", ("pure",), "There is no pure==9 to be had"),
    Bad(("needs_ghost",), "unknown", ("ghost", "needs-ghost"), "which needs_ghost needs"),
    Bad(("pure==", "site"), "unknown", ("pure",), "pure== is not a requirement"),
    Bad(("pure==1", "needs_new"), "conflict", ("pure", "needs-new"), "needs-new depend on pure>=2"),
    Bad(("pure==1", "pure>=2"), "conflict", ("pure",), "No versions satisfy pure==1 and pure>=2"),
    Bad(
        ("numpy==1.0", "numpy>=1.26"),
        "conflict",
        ("numpy",),
        "numpy==1.0 cannot be installed beside what sites",
    ),
    Bad(("pure==1", "flwr==1.41.*"), "conflict", ("pure", "flwr"), "sites and server run (flwr==1.41.*)"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: " ".join(bad.asked))
def test_what_cannot_be_solved_is_said_by_name(bad: Bad, wheels: Path, solve_here: Solve) -> None:
    make_sdist(wheels, "source", "1.0")
    make_wheel(wheels, "old_python", "1.0", "cp38-cp38-manylinux2014_x86_64")
    make_wheel(wheels, "windows", "1.0", "cp311-cp311-win_amd64")
    make_wheel(wheels, "needs_source", "1.0", needs=["source"])
    make_wheel(wheels, "needs_ghost", "1.0", needs=["ghost>=2"])
    make_wheel(wheels, "needs_new", "1.0", needs=["pure>=2"])
    make_wheel(wheels, "flwr", "1.41.0", needs=["pure>=2"])
    for name in ("pure", "numpy"):
        for version in ("1.0", "2.0"):
            make_wheel(wheels, name, version)
    with pytest.raises(LockUnsolvable) as caught:
        solve_here(*bad.asked)
    assert (caught.value.kind, caught.value.distributions) == (bad.kind, bad.distributions)
    assert bad.says in caught.value.what
    assert caught.value.hint
    assert str(wheels.parent) not in str(caught.value)


def test_old_versions_without_wheels_do_not_hide_a_conflict(wheels: Path, solve_here: Solve) -> None:
    make_sdist(wheels, "lib", "1.0")
    make_wheel(wheels, "lib", "2.0", needs=["pure<2"])
    make_wheel(wheels, "pure", "1.0")
    make_wheel(wheels, "pure", "2.0")
    with pytest.raises(LockUnsolvable) as caught:
        solve_here("lib", "pure>=2")
    assert caught.value.kind == "conflict"
    assert set(caught.value.distributions) == {"lib", "pure"}


def test_source_code_by_url_is_never_built(wheels: Path, solve_here: Solve) -> None:
    path = make_sdist(wheels, "source", "1.0")
    with pytest.raises(LockUnsolvable) as caught:
        solve_here(f"source @ {path.as_uri()}")
    assert caught.value.kind == "no wheel"
    assert caught.value.distributions[0] == "source"


def test_the_target_is_said(wheels: Path, solve_here: Solve) -> None:
    make_wheel(wheels, "intel", "1.0", f"{MANYLINUX}2014_x86_64")
    with pytest.raises(LockUnsolvable, match=r"Python 3\.11 on linux/arm64"):
        solve_here("intel", target=dataclasses.replace(TARGET, platform="linux/arm64"))
