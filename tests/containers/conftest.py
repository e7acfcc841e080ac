"""Engines, a registry with a base image, and folders that any user may enter."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from container_engines import (
    Engine,
    NotHere,
    Unpacked,
    docker_engine,
    finished,
    forget_images,
    missing,
    podman_engine,
    unpack,
)
from container_federation import Images
from debian_base import push_base
from notebook_federator.image.signing_keys import make_key
from probe_image import push_probe

NBFED = [sys.executable, "-m", "notebook_federator.cli"]

OpenFolder = Callable[[], Path]


class Registry(Protocol):
    """What ``shared_registry`` gives."""

    address: str


@pytest.fixture(scope="session")
def open_folder() -> Iterator[OpenFolder]:
    """Makes folders that any user may enter, unlike ``tmp_path``; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="nbfed-containers-", ignore_cleanup_errors=True) as root:
        Path(root).chmod(0o755)

        def make() -> Path:
            folder = Path(tempfile.mkdtemp(dir=root))
            folder.chmod(0o755)
            return folder

        yield make


@pytest.fixture(scope="session")
def debian_base(shared_registry: Registry) -> str:
    """Name of a base image with Python in a registry of this machine; nothing in it says where Python is."""
    if reason := missing("apt-get", "dpkg-deb"):
        pytest.skip(f"no base image here ({reason})")
    reference = f"{shared_registry.address}/base:3.11"
    push_base(reference)
    return reference


@pytest.fixture(scope="session")
def probe(debian_base: str) -> str:
    """The image's name, by digest."""
    return push_probe(debian_base)


@pytest.fixture(scope="session")
def docker(shared_registry: Registry) -> Iterator[Engine]:
    """Docker: the daemon that runs, else one of our own."""
    try:
        with docker_engine() as engine:
            yield engine
            forget_images(engine, shared_registry.address)
    except NotHere as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def podman() -> Iterator[Engine]:
    """Podman with storage of its own."""
    try:
        with podman_engine() as engine:
            yield engine
    except NotHere as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session", params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine of this machine in turn."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def unpacked(open_folder: OpenFolder) -> Callable[[str], Unpacked]:
    """Unpacks an image of a registry into a folder and runs it under Apptainer's constraints."""
    if reason := missing("skopeo", "umoci", "bwrap", "setpriv"):
        pytest.skip(f"no unpacked images here ({reason})")
    return lambda reference: unpack(reference, open_folder())


@pytest.fixture(scope="session")
def nbfed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs the command, with a signing key of the tests, and gives the data of its JSON envelope."""
    key = tmp_path_factory.mktemp("keys") / "signing.pem"
    make_key(key)

    def run(*words: str | Path) -> Any:
        command = [*NBFED, *map(str, words), "--format", "json"]
        answer = finished(command, {"NBFED_SIGNING_KEY": str(key)}, timeout=600)
        return json.loads(answer.stdout)["data"]

    return run


@pytest.fixture(scope="session")
def pushed(
    shared_registry: Registry, debian_base: str, nbfed: Callable[..., Any]
) -> Callable[[Path], Images]:
    """Builds the images of a notebook and pushes them to the tests' registry."""

    def build(notebook: Path) -> Images:
        words = ("--push", f"{shared_registry.address}/demo", "--base", debian_base)
        images = nbfed("build", notebook, *words)["images"]
        layers = {layer["title"]: layer["bytes"] for layer in images["client"]["layers"]}
        return Images(images["server"]["name"], images["client"]["name"], notebook, layers)

    return build


@pytest.fixture(scope="session")
def breast_cancer(
    pushed: Callable[[Path], Images], nbfed: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Images:
    """The images of the example on breast biopsies, which brings its data along."""
    notebook = tmp_path_factory.mktemp("breast-cancer") / "breast-cancer.ipynb"
    nbfed("new", notebook, "--example", "breast-cancer")
    return pushed(notebook)


@pytest.fixture(scope="session")
def histology(
    pushed: Callable[[Path], Images], nbfed: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Images:
    """The images of the example on tissue patches, which reads a folder at each site."""
    notebook = tmp_path_factory.mktemp("histology") / "histology.ipynb"
    nbfed("new", notebook, "--example", "histology")
    return pushed(notebook)
