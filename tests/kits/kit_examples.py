"""A kit in which everything is said, a federation to make kits of, and what Compose reads."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w
import yaml
from nbfed_site.contracts import Kit, Manifest, Names, Parameter, ReleasePolicy
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.federation.federation_settings import FederationSettings, Images, plain
from notebook_federator.kits.container import Image, SiteContainer

REFERENCE = "registry.example/demo@sha256:" + "7" * 64
SERVER = "https://fed.example.org:9443"
NOW = datetime(2026, 11, 27, 10, tzinfo=UTC)
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
        "server": SERVER,
        "authority": "sha256:" + "a1b2c3d4" * 8,
        "token": "0123456789abcdef",
        "image": REFERENCE,
        "slice_digest": "sha256:" + "5" * 64,
        "notebook_digest": "sha256:" + "6" * 64,
        "policy": ReleasePolicy(min_examples=25, metrics=("loss", "auc"), max_bytes=600 << 20),
        "retention_days": 90,
    }
    return Kit(**{**whole, **fields})


def manifest(*parameters: Parameter) -> Manifest:
    """What the images hold."""
    made = kit()
    names = Names("net")
    digests = (made.notebook_digest, made.slice_digest)
    return Manifest("study.ipynb", *digests, "function", "torch", (), (), names, parameters=parameters)


def settings(**fields: Any) -> FederationSettings:
    """What the coordinator wishes; ``client``, ``gpu`` and ``key`` are of the client image."""
    made = kit()
    own = {name: fields.pop(name) for name in ("client", "gpu", "key") if name in fields}
    digests = {"notebook_digest": made.notebook_digest, "slice_digest": made.slice_digest}
    images = Images(**{"server": REFERENCE, "client": REFERENCE, **digests, **own})
    whole = {"policy": made.policy, "retention_days": 90, "contact": "Dr. A. Example, +49 30 000 000"}
    return FederationSettings("lung-study", SERVER, images, **{**whole, **fields})


def federation(path: Path, *sites: str, **fields: Any) -> FederationFolder:
    """The folder of a federation whose notebook reads a folder, with these sites."""
    made, folder = settings(sites=sites, **fields), FederationFolder(path)
    text = tomli_w.dumps(plain(made)).encode()
    folder.create(made, text, manifest(Parameter("data_path", "data_path", None)), datetime.now(UTC))
    with folder.open_ledger() as ledger:
        for site in sites:
            ledger.append("site_added", site=site)
    return folder
