"""The real index and the real torch, as this machine's pip is configured to find them."""

import os
import time
from pathlib import Path

import pytest
from notebook_federator.locking import IndexUnreachable, Lock, Needs, Sources, lock, runtime_requirements

from .conftest import TARGET, needs_of


def lock_here(needs: Needs) -> Lock:
    try:
        return lock(needs, TARGET, Sources())
    except IndexUnreachable as error:
        pytest.skip(f"no package index here: {error.what}")


def test_small_packages() -> None:
    made = lock_here(needs_of(["click>=8", "six==1.17.0"], ["six"]))
    six = made.wheels("server")[0]
    assert (six.filename, six.size) == ("six-1.17.0-py2.py3-none-any.whl", 11050)
    assert six.sha256 == "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"
    assert made.roles["client"] == ("click", "six")
    assert made.target.python == "3.11"


def test_a_client_with_torch_and_its_server() -> None:
    places = os.environ.get("PIP_FIND_LINKS", "").split()
    folders = [Path(place) for place in places if list(Path(place).glob("torch-2.13.0+cpu-cp311-*.whl"))]
    if not folders:
        pytest.skip("no wheel of torch for Linux here (PIP_FIND_LINKS)")
    server = runtime_requirements("server")
    started = time.monotonic()
    made = lock_here(needs_of([*runtime_requirements("client"), "torch==2.13.0", "scikit-learn"], server))
    seconds = time.monotonic() - started
    versions = {wheel.name: wheel for wheel in made.packages}
    assert versions["torch"].version == "2.13.0+cpu"
    assert versions["torch"].size > 150_000_000
    assert not {"torch", "scikit-learn", "scipy"} & set(made.roles["server"])
    assert {"flwr", "safetensors", "uvicorn"} <= set(made.roles["server"])
    assert "uvloop" in made.roles["server"]
    assert {wheel.filename.rpartition(".")[2] for wheel in made.packages} == {"whl"}
    assert not [name for name in versions if name.startswith(("nvidia", "triton"))]
    assert seconds < 60
