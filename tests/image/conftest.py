"""Makes the helpers of this folder importable."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A signing key."""
    from notebook_federator.image.signing_keys import make_key

    path = tmp_path / "keys" / "key.pem"
    make_key(path)
    return path
