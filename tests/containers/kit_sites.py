"""Kits as `nbfed kit` writes them, for an image and an engine of this machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from container_engines import UID, Engine
from nbfed_site.contracts import Kit, rebuilt
from notebook_federator.kits.container import Image, SiteContainer
from notebook_federator.kits.contents import Credentials, kit_files
from notebook_federator.kits.writing import write_folder
from notebook_federator.ledger.signing import Signer

Finished = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Site:
    """A kit and a data folder on this machine, and the engine that runs it.

    Attributes:
        name: of container and volume.
        data: None where the notebook brings its own.
    """

    engine: Engine
    kit: Path
    data: Path | None
    name: str
    environment: dict[str, str]

    def __call__(self, *words: str, shell: str = "dash", code: int = 0, **variables: str) -> Finished:
        """Run the script as its operator does."""
        found = subprocess.run(
            [shell, "site", *words],
            cwd=self.kit, env=self.environment | variables, timeout=300,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert found.returncode == code, found.stdout + found.stderr
        return found

    def on_data(self, command: str, *words: str) -> Finished:
        """Run ``doctor`` or ``up`` with the data folder."""
        return self(command, *([str(self.data)] if self.data else []), *words)

    def inspected(self) -> Any:
        """The container as the engine describes it."""
        return json.loads(self.engine("container", "inspect", self.name).stdout)[0]


def received(
    engine: Engine, kit: Path, data: Path | None, options: Sequence[str] = (), share: str = ""
) -> Site:
    """A kit at its site; ``options`` are of the engine's ``run``, ``share`` of the notebook's own data."""
    found = rebuilt(Kit, json.loads((kit / "kit.json").read_bytes()))
    insecure = kit.parent / "registries.conf"
    insecure.write_text('[[registry]]\nlocation = "localhost"\ninsecure = true\n')
    environment = {
        **os.environ,
        **engine.environment,
        "HOME": str(kit.parent),
        "NBFED_ENGINE": " ".join(engine.command),
        "NBFED_ENGINE_OPTIONS": " ".join((*engine.run_options, *options)),
        "NBFED_USER": f"{UID}:{UID}",
        "CONTAINERS_REGISTRIES_CONF": str(insecure),
        **({"NBFED_SHARE": share} if share else {}),
    }
    return Site(engine, kit, data, SiteContainer(found, Image(found.image)).name, environment)


def made(engine: Engine, folder: Path, image: Image, images: Path | None = None) -> Site:
    """A kit for an image, as `nbfed kit` makes it, in a folder with a space in its name."""
    digest = "sha256:" + "5" * 64
    authority = "sha256:" + os.urandom(4).hex() * 8
    kit = Kit("study", "hospital-a", 1, "2026-11-27T10:00:00Z", "https://fed.example.org", authority,
              os.urandom(8).hex(), image.reference, digest, digest)  # fmt: skip
    _, signer = Signer.make()
    credentials = Credentials(b"PEM", b"secret", "2027-01-01", signer.public_key.encode(), b"", signer.sign)
    container = SiteContainer(kit, image)
    path, data = folder / "the kit", folder / "the data"
    write_folder(kit_files(container, credentials), path, images)
    data.mkdir()
    (data / "scan.png").write_bytes(b"")
    return received(engine, path, data)
