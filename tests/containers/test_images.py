"""What is inside the pushed images, what a site pulls of them, and that they start anywhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from container_engines import Engine, Unpacked
from container_federation import PYTHON, Images, give_away, unwell
from notebook_federator.locking import path_beside

pytestmark = pytest.mark.end_to_end

INSIDE = """
import json, os
from importlib.metadata import distributions
found = sorted(one.name for one in distributions())
print(json.dumps({"slice": sorted(os.listdir("/app/slice")), "distributions": found}))
"""
FETCHED = re.compile(rb'"GET /v2/\S+/blobs/sha256:\w+ HTTP/1\.1" 200 (\d+)')


def test_each_image_holds_what_its_role_needs(docker: Engine, breast_cancer: Images) -> None:
    server, client = inside(docker, breast_cancer.server), inside(docker, breast_cancer.client)
    assert server["slice"] == ["manifest.json"]
    assert "slice.py" in client["slice"]
    assert {"torch", "scikit-learn"} <= set(client["distributions"])
    assert not {"torch", "scikit-learn", "pip", "setuptools"} & set(server["distributions"])
    assert {"nbfed-site", "flwr", "notebook-federator"} <= set(server["distributions"])
    assert "notebook-federator" not in client["distributions"]


def inside(engine: Engine, image: str) -> Any:
    engine.pull(image)
    options = ("--entrypoint", PYTHON, "--network", "none")
    return json.loads(engine.run(image, "-I", "-c", INSIDE, options=options).stdout)


def test_what_sites_pull_when_they_have_another_experiment_s_images(
    docker: Engine,
    breast_cancer: Images,
    histology: Images,
    pushed: Callable[[Path], Images],
    shared_registry: Any,
    tmp_path: Path,
) -> None:
    pulled(docker, shared_registry.log, breast_cancer)
    edited = pushed(changed(breast_cancer.notebook, tmp_path / "edited.ipynb"))
    assert edited.client != breast_cancer.client
    assert 0 < pulled(docker, shared_registry.log, edited) < 300_000
    torch = next(size for title, size in breast_cancer.layers.items() if title.startswith("torch"))
    assert pulled(docker, shared_registry.log, histology) < torch


def changed(notebook: Path, path: Path) -> Path:
    """A copy of a notebook with one line changed, and the same lock."""
    document = nbformat.read(notebook, as_version=4)
    cell = next(cell for cell in document.cells if "lr=3e-3" in cell.source)
    cell.source = cell.source.replace("lr=3e-3", "lr=1e-3")
    nbformat.write(document, path)
    shutil.copy(path_beside(notebook), path_beside(path))
    return path


def pulled(engine: Engine, log: Path, images: Images) -> int:
    """Bytes of blobs that pulling both images takes from the registry."""
    before = log.stat().st_size
    for name in (images.client, images.server):
        engine.pull(name)
    return sum(int(size) for size in FETCHED.findall(log.read_bytes()[before:]))


def test_starts_as_a_folder_with_the_callers_uid(
    unpacked: Callable[[str], Unpacked], breast_cancer: Images, open_folder: Callable[[], Path]
) -> None:
    scratch = open_folder()
    give_away(scratch)
    image = unpacked(breast_cancer.client)
    found = image.run("doctor", "--format", "json", binds=("--bind", str(scratch), "/scratch"))
    assert unwell(found) == {}


def test_starts_with_any_uid_of_the_root_group(engine: Engine, breast_cancer: Images) -> None:
    engine.pull(breast_cancer.client)  # the users that OpenShift picks
    options = ("--user", "1000720000:0", "--tmpfs", "/scratch:mode=1777", "--network", "none")
    found = engine.run(breast_cancer.client, "doctor", "--format", "json", options=options)
    assert unwell(found) == {}
