"""Makes the helpers of this folder importable; nobody is logged in, and no proxy is set."""

import sys
from pathlib import Path

import pytest
from notebook_federator.image.registry import uploading

sys.path.insert(0, str(Path(__file__).parent))

_UNSET = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "SSL_CERT_FILE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and an environment that names no other place."""
    for name in (*_UNSET, *_PROXIES, *map(str.lower, _PROXIES)):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a megabyte, so that some megabytes are many of them."""
    monkeypatch.setattr(uploading, "CHUNK", 1 << 20)
    monkeypatch.setattr(uploading, "LARGEST_CHUNK", 1 << 20)
    monkeypatch.setattr(uploading, "SMALL", 1 << 20)
