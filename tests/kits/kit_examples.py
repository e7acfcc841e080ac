"""A kit in which everything is said, and what Compose reads."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import yaml
from nbfed_site.contracts import Kit, ReleasePolicy
from notebook_federator.kits.container import Image, SiteContainer

REFERENCE = "registry.example/demo@sha256:" + "7" * 64
Config = Callable[..., subprocess.CompletedProcess[str]]


def services(found: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The services of a configuration that Compose took."""
    assert found.returncode == 0, found.stderr
    read: dict[str, Any] = yaml.safe_load(found.stdout)["services"]
    return read


def container(**image: Any) -> SiteContainer:
    """A site's container, of an image with these attributes."""
    return SiteContainer(kit(), Image(**{"reference": REFERENCE, **image}))


def kit(**fields: Any) -> Kit:
    """A kit in which everything is said, with some fields said otherwise."""
    whole: dict[str, Any] = {
        "federation": "lung-study",
        "site": "hospital-a",
        "serial": 3,
        "issued": "2026-11-27T10:00:00Z",
        "server": "https://fed.example.org:9443",
        "authority": "sha256:" + "a1b2c3d4" * 8,
        "token": "0123456789abcdef",
        "image": REFERENCE,
        "slice_digest": "sha256:" + "5" * 64,
        "notebook_digest": "sha256:" + "6" * 64,
        "policy": ReleasePolicy(min_examples=25, metrics=("loss", "auc"), max_bytes=600 << 20),
        "retention_days": 90,
    }
    return Kit(**{**whole, **fields})
