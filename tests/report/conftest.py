"""A run of four hospitals (12 rounds of FedAvg on the UCI heart disease data), as the ledger tells it."""

import json
from pathlib import Path
from typing import Any

import pytest

FIXTURE = Path(__file__).parent / "fixtures" / "heart.json"


@pytest.fixture
def heart() -> dict[str, Any]:
    """The record's JSON: a fresh copy that a test may change."""
    return json.loads(FIXTURE.read_text())
