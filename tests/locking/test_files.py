"""Locks on disk: what is written can be read, moved, and installed by others; what is damaged is refused."""

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import uv
from hypothesis import given
from hypothesis import strategies as st
from nbfed_site.contracts import StorageFull
from notebook_federator.locking import Lock, LockedWheel, LockMismatch, path_beside, read, write

from .conftest import TARGET, make_wheel, needs_of

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4})?", fullmatch=True)
WHEELS = st.builds(
    LockedWheel,
    name=NAMES,
    version=st.sampled_from(["1.0", "2.13.0+cpu", "1!3.0rc1"]),
    filename=st.sampled_from(["a-1.0-py3-none-any.whl", "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"]),
    url=st.sampled_from(
        ["https://localhost/a-1.0-py3-none-any.whl", "file:///wheels/a%20b-1.0-py3-none-any.whl"]
    ),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    size=st.integers(0, 1 << 40),
)


def lock_of(wheels: list[LockedWheel], requirements: tuple[str, ...] = ("one",)) -> Lock:
    packages = tuple(sorted({wheel.name: wheel for wheel in wheels}.values(), key=lambda wheel: wheel.name))
    names = tuple(wheel.name for wheel in packages)
    return Lock(TARGET, needs_of(requirements), packages, {"client": names, "server": names[:1]})


def one_wheel(path: Path) -> LockedWheel:
    import hashlib

    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return LockedWheel("one", "1.0", path.name, path.as_uri(), sha256, len(data))


@given(st.lists(WHEELS, max_size=5), st.lists(st.text(max_size=20), max_size=3))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, wheels: list[LockedWheel], lines: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "pylock.any.toml"
    lock = lock_of(wheels, tuple(lines))
    write(lock, path)
    found = read(path)
    assert found == lock
    assert [wheel.url for wheel in found.packages] == [wheel.url for wheel in lock.packages]
    written = path.read_bytes()
    write(found, path)
    assert path.read_bytes() == written


def test_a_lock_moves_with_the_wheels_beside_it(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    lock = lock_of([one_wheel(make_wheel(project / "my wheels", "one", "1.0"))])
    write(lock, project / "pylock.toml")
    assert str(tmp_path) not in (project / "pylock.toml").read_text()
    project.rename(tmp_path / "moved")
    (wheel,) = read(tmp_path / "moved" / "pylock.toml").packages
    assert wheel.url == (tmp_path / "moved/my wheels/one-1.0-py3-none-any.whl").as_uri()


def test_other_installers_understand_a_lock(tmp_path: Path) -> None:
    """`uv` stands for them: it installs the wheel that the lock names, and checks its hash."""
    lock = lock_of([one_wheel(make_wheel(tmp_path / "wheels", "one", "1.0"))])
    path, target = tmp_path / "pylock.one.toml", tmp_path / "site"
    write(lock, path)
    command = [
        uv.find_uv_bin(),
        "pip",
        "install",
        "--offline",
        "--python",
        sys.executable,
        f"--target={target}",
    ]
    done = subprocess.run([*command, "-r", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (target / "one.py").exists()


@pytest.mark.parametrize(
    ("notebook", "beside"),
    [
        ("model.ipynb", "pylock.model.toml"),
        ("a.b v2.ipynb", "pylock.a-b v2.toml"),
        ("x/y.ipynb", "x/pylock.y.toml"),
    ],
)
def test_the_lock_lies_beside_the_notebook(notebook: str, beside: str) -> None:
    assert path_beside(Path(notebook)) == Path(beside)


def wheel_of(plain: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plain["packages"][0]["wheels"][0]
    return found


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "not ours": lambda plain: plain.pop("tool"),
    "newer": lambda plain: plain["tool"]["nbfed"].update(format=2),
    "other standard": lambda plain: plain.update({"lock-version": "2.0"}),
    "no packages": lambda plain: plain.pop("packages"),
    "no wheel": lambda plain: plain["packages"][0].update(wheels=[]),
    "two wheels": lambda plain: plain["packages"][0]["wheels"].append(wheel_of(plain)),
    "twice": lambda plain: plain["packages"].append(plain["packages"][0]),
    "no hash": lambda plain: wheel_of(plain).pop("hashes"),
    "short hash": lambda plain: wheel_of(plain)["hashes"].update(sha256="abc"),
    "no size": lambda plain: wheel_of(plain).pop("size"),
    "negative size": lambda plain: wheel_of(plain).update(size=-1),
    "size is true": lambda plain: wheel_of(plain).update(size=True),
    "no place": lambda plain: wheel_of(plain).pop("path"),
    "odd scheme": lambda plain: wheel_of(plain).update(url="ftp://localhost/one-1.0-py3-none-any.whl"),
    "name leads away": lambda plain: wheel_of(plain).update(name="../one-1.0-py3-none-any.whl"),
    "no wheel's name": lambda plain: wheel_of(plain).update(name="one.tar.gz"),
    "platform": lambda plain: plain["tool"]["nbfed"].update(platform="windows/amd64"),
    "roles": lambda plain: plain["tool"]["nbfed"]["roles"].update(client=["other"]),
    "one role only": lambda plain: plain["tool"]["nbfed"]["roles"].pop("server"),
    "requirements": lambda plain: plain["tool"]["nbfed"]["requirements"].update(client="one"),
    "digest": lambda plain: plain["tool"]["nbfed"].update({"slice-digest": 3}),
    "version": lambda plain: plain["packages"][0].update(version=1.0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_lock_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "pylock.toml"
    write(lock_of([one_wheel(make_wheel(tmp_path / "wheels", "one", "1.0"))]), path)
    plain = tomllib.loads(path.read_text())
    DAMAGE[damage](plain)
    path.write_text(tomli_w.dumps(plain))
    with pytest.raises(LockMismatch) as caught:
        read(path)
    assert caught.value.where == str(path)
    assert caught.value.hint


@pytest.mark.parametrize("text", [b"", b"= broken", b"\xff\xfe", json.dumps({}).encode(), b"tool = 3"])
def test_what_is_no_lock_is_refused(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pylock.toml"
    path.write_bytes(text)
    with pytest.raises(LockMismatch, match="not a lock of Notebook Federator"):
        read(path)


def test_no_lock_is_said_as_such(tmp_path: Path) -> None:
    with pytest.raises(LockMismatch, match="There is no lock"):
        read(tmp_path / "pylock.toml")


def test_a_lock_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "pylock.toml"
    path.mkdir()
    with pytest.raises(StorageFull, match="cannot be written"):
        write(lock_of([]), path)
    assert list(tmp_path.iterdir()) == [path]


def test_reading_and_writing_take_milliseconds(tmp_path: Path) -> None:
    (wheel,) = [one_wheel(make_wheel(tmp_path / "wheels", "one", "1.0"))]
    lock = lock_of([replace(wheel, name=f"package-{number:03}") for number in range(100)])
    path = tmp_path / "pylock.toml"
    write(lock, path)

    def once() -> float:
        started = time.process_time()
        write(read(path), path)
        return time.process_time() - started

    assert min(once() for _ in range(5)) < 0.05
