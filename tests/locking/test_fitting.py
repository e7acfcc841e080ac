"""A lock is refused when it does not fit, and only then."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from notebook_federator.locking import Lock, LockMismatch, Needs, fits, require, restamped
from notebook_federator.locking.fitting import tidy

from .conftest import TARGET, needs_of

NEEDS = needs_of(["torch==2.13.0", "numpy"], ["numpy"])
LOCK = Lock(TARGET, tidy(NEEDS), (), {"client": (), "server": ()})

OTHER_TARGETS = {
    "python": replace(TARGET, python="3.12"),
    "platform": replace(TARGET, platform="linux/arm64"),
    "torch": replace(TARGET, torch="cu128"),
    "base": replace(TARGET, base="localhost:5000/python@sha256:" + "c" * 64),
}
OTHER_NEEDS = {
    "torch==2.12.0 of the client image": needs_of(["torch==2.12.0", "numpy"], ["numpy"]),
    "pandas of the client image": needs_of(["torch==2.13.0", "numpy", "pandas"], ["numpy"]),
    "holds torch==2.13.0": needs_of(["numpy"], ["numpy"]),
    "of the server image": needs_of(["torch==2.13.0", "numpy"], ["numpy", "uvicorn"]),
}


def test_order_repetition_and_blanks_make_no_difference() -> None:
    same = needs_of(["numpy", "torch==2.13.0", "numpy"], ["  numpy "])
    assert fits(LOCK, same, TARGET)
    require(LOCK, same, TARGET)


@pytest.mark.parametrize("field", OTHER_TARGETS)
def test_another_target_does_not_fit(field: str) -> None:
    assert not fits(LOCK, NEEDS, OTHER_TARGETS[field])
    with pytest.raises(LockMismatch, match=f"made for {field}"):
        require(LOCK, NEEDS, OTHER_TARGETS[field])


@pytest.mark.parametrize("says", OTHER_NEEDS)
def test_other_requirements_do_not_fit(says: str) -> None:
    assert not fits(LOCK, OTHER_NEEDS[says], TARGET)
    with pytest.raises(LockMismatch, match=says) as caught:
        require(LOCK, OTHER_NEEDS[says], TARGET)
    assert "--locked" in caught.value.hint


CHANGES: dict[str, Callable[[Needs], Needs]] = {
    "notebook": lambda needs: replace(needs, notebook_digest="sha256:" + "3" * 64),
    "slice": lambda needs: replace(needs, slice_digest="sha256:" + "4" * 64),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_change_of_the_text_alone_needs_a_new_stamp_only(changed: str) -> None:
    needs = CHANGES[changed](NEEDS)
    assert fits(LOCK, needs, TARGET)
    with pytest.raises(LockMismatch, match=f"the {changed} changed since"):
        require(LOCK, needs, TARGET)
    require(restamped(LOCK, needs), needs, TARGET)
    assert restamped(LOCK, NEEDS) == LOCK


def test_every_build_can_afford_to_import_the_room() -> None:
    """Reading a lock brings in nothing that only resolving or downloading needs."""
    code = (
        "import sys, notebook_federator.locking\n"
        "heavy = {'subprocess', 'packaging', 'urllib3', 'urllib.request', 'tomli_w', 'importlib.metadata'}\n"
        "sys.exit(', '.join(sorted(heavy & sys.modules.keys())) or 0)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
