"""Compose, as this machine has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit_examples import Config


def compose_program() -> list[str]:
    """The plugin where there is one, else docker-compose; skips where there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        asked = [*command, "version"]
        if (
            shutil.which(command[0])
            and subprocess.run(asked, capture_output=True, check=False).returncode == 0
        ):
            return command
    pytest.skip("no Compose here (Debian: apt-get install docker-compose)")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """What Compose makes of files in ``tmp_path``, with these variables set."""
    program = compose_program()

    def read(files: dict[str, bytes], **environment: str) -> subprocess.CompletedProcess[str]:
        named = []
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
            named += ["--file", str(tmp_path / name)]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("NBFED_")}
        return subprocess.run(
            [*program, *named, "config"],
            cwd=tmp_path, env=plain | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return read
