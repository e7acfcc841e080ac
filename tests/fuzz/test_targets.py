"""Sound inputs, and those that a search once found something with."""

from pathlib import Path

import pytest

from .seeds import seeds
from .targets import TARGETS

INPUTS = Path(__file__).parent / "inputs"
FOUND = sorted(path.relative_to(INPUTS) for path in INPUTS.glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_sound_inputs(name: str) -> None:
    made = seeds(name)
    assert made
    for data in made:
        TARGETS[name](data)


@pytest.mark.parametrize("path", FOUND, ids=str)
def test_inputs_that_were_not_expected_once(path: Path) -> None:
    TARGETS[path.parent.name]((INPUTS / path).read_bytes())
