"""`nbfed` as a coordinator types it, and the record of images that a build would leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from notebook_federator import api, image_record
from notebook_federator.image_record import ImageRecord
from notebook_federator.ledger import Signer


def nbfed(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "notebook_federator.cli", *words],
        cwd=cwd,
        env=os.environ | {"NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def data(*words: str, cwd: Path) -> dict[str, Any]:
    """What a command answers to machines; it has to succeed."""
    found = nbfed(*words, "--format", "json", cwd=cwd)
    assert found.returncode == 0, found.stdout + found.stderr
    value: dict[str, Any] = json.loads(found.stdout)["data"]
    return value


def refused(*words: str, cwd: Path) -> dict[str, Any]:
    """The envelope of a command that has to fail for its input."""
    found = nbfed(*words, "--format", "json", cwd=cwd)
    assert found.returncode == 4, found.stdout + found.stderr
    value: dict[str, Any] = json.loads(found.stdout)
    assert value["hint"]
    return value


def built(notebook: Path, letter: str = "b", torch: str = "cpu") -> None:
    """Leave the record that a build of the notebook as it is now leaves."""
    cut = api.sliced(api.check(notebook))
    found = ImageRecord(
        server="registry.example.org/lab/study@sha256:" + "a" * 64,
        client="registry.example.org/lab/study@sha256:" + letter * 64,
        names={role: f"registry.example.org/lab/study:{role}-1" for role in ("server", "client")},
        notebook_digest=cut.manifest.notebook_digest,
        slice_digest=cut.manifest.slice_digest,
        torch=torch,
        platform="linux/amd64",
        key=Signer.make()[1].public_key,
    )
    image_record.write(found, image_record.path_beside(notebook))
