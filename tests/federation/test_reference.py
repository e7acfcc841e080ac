"""The reference page of the folder names every key of federation.toml and every kind of entry."""

from pathlib import Path

import pytest
from notebook_federator.federation.federation_settings import flat
from notebook_federator.federation.membership import CHANGES
from small_study import SETTINGS


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs/reference/federation-folder.md").read_text()


def test_every_key_is_explained(page: str) -> None:
    missing = [key for key in flat(SETTINGS) if f"`{key}`" not in page and not key.startswith("data.")]
    assert missing == []


def test_every_kind_of_entry_is_explained(page: str) -> None:
    assert [kind for kind in CHANGES if f"`{kind}`" not in page] == []
