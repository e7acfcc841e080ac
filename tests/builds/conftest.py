"""Desks from which images are built."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from notebook_federator import templates

sys.path.insert(0, str(Path(__file__).parent))

from desk import Desk, push_base, write_lock

MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(tmp_path: Path, registry: Any) -> MakeDesk:
    """Makes a desk in a folder of the given name; all of a test push to one registry."""
    base = push_base(registry.address)

    def make(name: str = "author") -> Desk:
        desk = Desk(tmp_path / name, registry.address)
        desk.folder.mkdir()
        templates.write(desk.notebook, "breast-cancer")
        write_lock(desk, base)
        return desk

    return make


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    """One author's desk."""
    return make_desk()
