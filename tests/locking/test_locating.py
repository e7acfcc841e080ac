"""A lock on another machine: its wheels lie in that machine's folders."""

import os
from pathlib import Path

import pytest
from notebook_federator.locking import Lock, Sources, located, lock

from .conftest import TARGET, make_wheel, needs_of


@pytest.fixture
def moved(wheels: Path, tmp_path: Path, folders_only: None) -> Lock:
    """A lock whose folder of wheels went to ``tmp_path / "there"``."""
    make_wheel(wheels, "one", "1.0")
    make_wheel(wheels, "two", "1.0")
    made = lock(needs_of(["one", "two"]), TARGET, Sources(wheels=(str(wheels),)))
    assert located(made, Sources()) is made
    wheels.rename(tmp_path / "there")
    return made


@pytest.mark.parametrize("said", ["--wheels", "PIP_FIND_LINKS", "UV_FIND_LINKS"])
def test_wheels_are_found_by_name_in_this_machines_folders(
    said: str, moved: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    sources = Sources(wheels=(str(there),)) if said == "--wheels" else Sources()
    if said != "--wheels":
        monkeypatch.setenv(said, str(there))
    found = located(moved, sources)
    assert [wheel.url for wheel in found.packages] == [
        (there / wheel.filename).as_uri() for wheel in moved.packages
    ]
    assert found == moved


def test_of_several_files_the_one_with_the_hash_is_taken(moved: Lock, tmp_path: Path) -> None:
    there, other = tmp_path / "there", tmp_path / "other"
    other.mkdir()
    for file in there.iterdir():
        (other / file.name).write_bytes(b"x" * file.stat().st_size)
    found = located(moved, Sources(wheels=(str(other), str(there))))
    assert all(str(there) in wheel.url for wheel in found.packages)


def test_files_of_another_size_are_passed_over(moved: Lock, tmp_path: Path) -> None:
    there = tmp_path / "there"
    os.truncate(there / moved.packages[0].filename, 10)
    found = located(moved, Sources(wheels=(str(there),)))
    assert found.packages[0].url == moved.packages[0].url
    assert str(there) in found.packages[1].url
