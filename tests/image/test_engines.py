"""Into real engines; and what is said when there is none."""

import dataclasses
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbfed_site.contracts import StorageFull
from notebook_federator.image import engines
from notebook_federator.image.errors import BlobDamaged, EngineMissing
from notebook_federator.image.shapes import BytesContent, Role, digest_of
from small_images import names, silent, two_images


def answers(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[dict[Role, str]]:
    """Names for images in the Docker of this machine; removed at the end."""
    if not answers("docker", "version"):
        pytest.skip("no Docker daemon here")
    chosen = names(f"localhost:5000/nbfed-{os.getpid()}-{tmp_path.name}".lower())
    yield chosen
    subprocess.run(["docker", "rmi", *chosen.values()], capture_output=True, check=False)


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Role, str]:
    """Names for images in a Podman store of this test."""
    if shutil.which("podman") is None:
        pytest.skip("no Podman here")
    text = f'[storage]\ndriver="vfs"\ngraphroot="{tmp_path}/graph"\nrunroot="{tmp_path}/run"\n'
    (tmp_path / "storage.conf").write_text(text)
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    if not answers("podman", "info"):
        pytest.skip("Podman does not work here")
    return names()


def ids(engine: str, name: str) -> str:
    asked = [engine, "image", "inspect", "--format", "{{.Id}}", name]
    return "sha256:" + subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()[-64:]


def program(folder: Path, name: str, script: str) -> None:
    """An engine that does what ``script`` says."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that programs are looked for in."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_docker_takes_both_images(docker: dict[Role, str]) -> None:
    images = two_images(docker["client"])
    engines.load(images, docker, "docker", silent)
    for one in images:
        assert ids("docker", docker[one.role]) == digest_of(one.config)


def test_podman_takes_both_images(podman: dict[Role, str]) -> None:
    images = two_images()
    engines.load(images, podman, "podman", silent)
    for one in images:
        assert ids("podman", podman[one.role]) == digest_of(one.config)


def test_docker_keeps_nothing_of_a_damaged_image(docker: dict[Role, str]) -> None:
    server, client = two_images(docker["client"])
    layers = (*client.layers[:2], dataclasses.replace(client.layers[2], content=BytesContent(b"x")))
    with pytest.raises(BlobDamaged):
        engines.load((server, dataclasses.replace(client, layers=layers)), docker, "docker", silent)
    asked = ["docker", "images", "-q", docker["server"].rpartition(":")[0]]
    assert subprocess.run(asked, capture_output=True, check=True).stdout == b""


def test_a_daemon_that_is_not_there_is_told_in_dockers_words(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("docker") is None:
        pytest.skip("no docker here")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(EngineMissing, match=r"Cannot connect to the Docker daemon[\s\S]*--output FILE\.tar"):
        engines.load(two_images(), names(), "docker", silent)


def test_no_engine_at_all(programs: Path) -> None:
    with pytest.raises(EngineMissing, match="docker: not installed; podman: not installed"):
        engines.load(two_images(), names(), None, silent)


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_the_engine_that_was_asked_for_is_not_installed(programs: Path, engine: engines.Engine) -> None:
    program(programs, "podman" if engine == "docker" else "docker", "/bin/cat > /dev/null")
    with pytest.raises(EngineMissing, match=f"{engine}: not installed"):
        engines.load(two_images(), names(), engine, silent)


def test_podman_is_taken_where_docker_does_not_answer(programs: Path, tmp_path: Path) -> None:
    program(programs, "docker", "echo no daemon >&2; exit 1")
    program(programs, "podman", f'[ "$1" = version ] || /bin/cat > {tmp_path}/got')
    engines.load(two_images(), names(), None, silent)
    assert (tmp_path / "got").stat().st_size % 512 == 0


def test_docker_comes_first(programs: Path, tmp_path: Path) -> None:
    for name in engines.ENGINES:
        program(programs, name, f'[ "$1" = version ] || /bin/cat > {tmp_path}/{name}')
    engines.load(two_images(), names(), None, silent)
    assert [(tmp_path / name).exists() for name in engines.ENGINES] == [True, False]


def test_an_engine_that_fails_before_it_has_read_all(programs: Path) -> None:
    program(programs, "docker", "echo out of order >&2; exit 1")
    with pytest.raises(EngineMissing, match="docker: out of order"):
        engines.load(two_images(), names(), "docker", silent)


def test_an_engine_without_room(programs: Path) -> None:
    program(programs, "docker", "/bin/cat > /dev/null; echo write /x: no space left on device >&2; exit 1")
    with pytest.raises(StorageFull, match="docker system prune"):
        engines.load(two_images(), names(), "docker", silent)
