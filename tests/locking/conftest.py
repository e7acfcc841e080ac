"""Wheels and source distributions made on the spot, and a `uv` that asks nothing else."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from importlib import util
from pathlib import Path

import pytest
from notebook_federator.locking import LockedWheel, Needs, Target
from notebook_federator.locking.solving import Question, solve
from notebook_federator.locking.sources import Settings

TARGET = Target("3.11", "linux/amd64", "cpu", "localhost:5000/python@sha256:" + "b" * 64)


def metadata(name: str, version: str, needs: Sequence[str]) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    return "\n".join([*lines, *(f"Requires-Dist: {line}" for line in needs), ""])


def make_wheel(
    folder: Path, name: str, version: str, tag: str = "py3-none-any", needs: Sequence[str] = ()
) -> Path:
    """A wheel with one empty module."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": metadata(name, version, needs),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as made:
        for file, text in files.items():
            made.writestr(zipfile.ZipInfo(file), text)
    return path


def make_sdist(folder: Path, name: str, version: str) -> Path:
    """A source distribution that nothing could build."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}.tar.gz"
    data = metadata(name, version, ()).encode()
    with tarfile.open(path, "w:gz") as made:
        member = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        member.size = len(data)
        made.addfile(member, io.BytesIO(data))
    return path


def needs_of(client: Sequence[str], server: Sequence[str] = ()) -> Needs:
    """Needs of two images, with digests of nothing."""
    return Needs(
        {"server": tuple(server), "client": tuple(client)}, "sha256:" + "1" * 64, "sha256:" + "2" * 64
    )


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """An empty folder for wheels."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


Solve = Callable[..., tuple[LockedWheel, ...]]


@pytest.fixture
def solve_here(wheels: Path) -> Solve:
    """Resolves requirement lines from the folder of wheels alone."""

    def solved(*requirements: str, target: Target = TARGET, **more: object) -> tuple[LockedWheel, ...]:
        settings = Settings(folders=(wheels,), no_index=True)
        return solve(Question(requirements, target, settings, **more))  # type: ignore[arg-type]

    return solved


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine where neither pip nor `uv` is configured."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return monkeypatch


@pytest.fixture
def without_pip(unconfigured: pytest.MonkeyPatch) -> None:
    """A machine without pip, whose variables count all the same: saves half a second of asking it."""
    real = util.find_spec
    unconfigured.setattr(util, "find_spec", lambda name, *more: None if name == "pip" else real(name, *more))


@pytest.fixture
def folders_only(unconfigured: pytest.MonkeyPatch, without_pip: None) -> None:
    """A machine that asks no package index."""
    unconfigured.setenv("PIP_NO_INDEX", "1")
