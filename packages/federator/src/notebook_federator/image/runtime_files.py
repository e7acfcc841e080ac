"""The product's own code that goes into an image: the site package, and the server's rooms."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from .. import __version__
from ..locking.runtime import SERVER_ROOMS
from .shapes import Role


def runtime_files(role: Role) -> dict[str, bytes]:
    """Path below ``site-packages`` -> bytes; the same bytes wherever the same version is installed."""
    site = _folder("nbfed_site")
    found = {f"nbfed_site/{name}": data for name, data in _sources(site, "").items()}
    found |= _metadata("nbfed-site")
    if role == "client":
        return found
    federator = _folder("notebook_federator")
    found["notebook_federator/__init__.py"] = (federator / "__init__.py").read_bytes()
    for room in SERVER_ROOMS:
        found |= {f"notebook_federator/{name}": data for name, data in _sources(federator, room).items()}
    return found | _metadata("notebook-federator")


def runtime_version() -> str:
    """The version of Notebook Federator that the images run."""
    return __version__


def _folder(package: str) -> Path:
    return Path(import_module(package).__path__[0])


@functools.cache
def _sources(root: Path, below: str) -> Mapping[str, bytes]:
    found = sorted((root / below).rglob("*.py"))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def _metadata(distribution: str) -> dict[str, bytes]:
    """The least that makes a scanner, and ``importlib.metadata``, see the package and its version."""
    found = runtime_version()
    folder = f"{distribution.replace('-', '_')}-{found}.dist-info"
    text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {found}\nLicense: Apache-2.0\n"
    return {f"{folder}/METADATA": text.encode(), f"{folder}/INSTALLER": b"nbfed\n"}
