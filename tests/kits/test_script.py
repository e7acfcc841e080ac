"""What the kit's script says before any engine is asked, in each shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kit_examples import container
from notebook_federator.kits.script import site_script

Finished = subprocess.CompletedProcess[str]


@pytest.fixture(params=["dash", "bash", "sh"])
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell of this machine."""
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param} here")
    return str(request.param)


def run(folder: Path, shell: str, *words: str, **variables: str) -> Finished:
    """Run the script in a folder of its own, with an engine that is never asked."""
    (folder / "site").write_bytes(site_script(container()))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NBFED_ENGINE": "docker", **variables}
    return subprocess.run(
        [str(shutil.which(shell)), "site", *words],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_can_be_read(tmp_path: Path, shell: str) -> None:
    (tmp_path / "site").write_bytes(site_script(container()))
    subprocess.run([shell, "-n", "site"], cwd=tmp_path, check=True)


def test_help_says_every_command(tmp_path: Path, shell: str) -> None:
    shown = set(re.findall(r"^  sh site (\w+)", run(tmp_path, shell, "help").stdout, re.MULTILINE))
    assert shown == {"doctor", "up", "approve", "logs", "receipts", "stop", "erase"}


def test_a_wrong_command_is_bad_input(tmp_path: Path, shell: str) -> None:
    found = run(tmp_path, shell, "upp")
    assert (found.returncode, found.stdout) == (4, "")
    assert "sh site doctor /path/to/data" in found.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("up",), "Which folder has the data?"),
        (("doctor", "/nowhere"), "The data folder is not there"),
        (("doctor", "a,b"), "has a character that engines take amiss"),
        (("erase",), "Nothing was removed."),
    ],
)
def test_what_cannot_be_is_told_at_once(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "a,b").mkdir()
    found = run(tmp_path, "sh", *words)
    assert found.returncode == 1
    assert said in found.stderr


def test_a_machine_without_engine_is_told_so(tmp_path: Path, shell: str) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("cat", "dirname", "id", "sed"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    found = run(tmp_path, shell, "doctor", str(tmp_path), NBFED_ENGINE="", PATH=str(tmp_path / "bin"))
    assert found.returncode == 1
    assert "No Docker, Podman or Apptainer can be used here." in found.stderr


def test_an_engine_that_is_none_is_told(tmp_path: Path) -> None:
    found = run(tmp_path, "sh", "doctor", str(tmp_path), NBFED_ENGINE="lxc")
    assert "NBFED_ENGINE names no engine that is known: lxc" in found.stderr


def test_another_image_is_not_taken(tmp_path: Path) -> None:
    found = run(tmp_path, "sh", "doctor", str(tmp_path), NBFED_IMAGE="mirror.example/x@sha256:" + "8" * 64)
    assert "NBFED_IMAGE is another image than the kit's." in found.stderr
