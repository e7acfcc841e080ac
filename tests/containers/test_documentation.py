"""The commands of the page on containers, run as they are shown, with this machine's names put in."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from authority import write_certificates
from container_engines import DOCKER, Engine
from container_federation import SERVER, Images, give_away, wait_until_healthy

pytestmark = pytest.mark.end_to_end
PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/run-containers.md"
HOST = "federation.example.org"
SITES = ("hospital-a", "hospital-b")


def commands() -> dict[str, str]:
    """What the containers of the page's commands run (``key``, ``serve``, ...) -> the command."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found = [text.strip() for block in blocks for text in block.replace("\\\n", "").split("\n\n")]
    names = ("key", "serve", "doctor", "up")
    return {name: next(text for text in found if re.search(rf"TAG\s+{name}\b", text)) for name in names}


@dataclass(frozen=True)
class Shell:
    """Runs the page's commands in ``folder`` with other names in them; ``tag`` keeps containers apart."""

    docker: Engine
    folder: Path
    names: Mapping[str, str]
    tag: str

    def __call__(self, command: str, site: str = "", **others: str) -> str:
        """Run a command as the given site; returns what it prints."""
        own = {"nbfed-scratch": f"{self.tag}-{site}", "--name site ": f"--name {self.tag}-{site} "}
        for old, new in {**self.names, **own, **others}.items():
            command = command.replace(old, new)
        return self.run(command)

    def run(self, command: str) -> str:
        found_first = {"PATH": f"{Path(DOCKER).parent}{os.pathsep}{os.environ['PATH']}"}
        environment = {**os.environ, **self.docker.environment, **found_first}
        found = subprocess.run(
            ["bash", "-ec", command],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert found.returncode == 0, f"{command}\n{found.stdout}\n{found.stderr}"
        return found.stdout.strip()


@pytest.fixture
def shell(docker: Engine, breast_cancer: Images, open_folder: Callable[[], Path]) -> Iterator[Shell]:
    """A shell in a folder with certificates and data; its containers and volumes are gone at the end."""
    folder = open_folder()
    for name in ("tls", "data"):
        (folder / name).mkdir()
    write_certificates(folder / "tls", HOST)
    give_away(folder / "tls/server.key", 0o644)
    (folder / "authority.pem").write_bytes((folder / "tls/authority.pem").read_bytes())
    tag = folder.name.lower().replace("_", "-")
    names = {
        "ghcr.io/our-lab/my-study:client-TAG": breast_cancer.client,
        "ghcr.io/our-lab/my-study:server-TAG": breast_cancer.server,
        "/path/to/data": str(folder / "data"),
        "nbfed-server": f"{tag}-server",
        "--name federation ": f"--name {tag}-federation ",
        "-p 9092:9092": "-p 9092",
    }
    shell = Shell(docker, folder, names, tag)
    yield shell
    everybody = [f"{tag}-federation", *(f"{tag}-{site}" for site in SITES)]
    docker("rm", "--force", *everybody, check=False)
    docker("volume", "rm", "--force", f"{tag}-server", *everybody, check=False)


def test_the_page_s_commands_run_a_federation(shell: Shell, nbfed: Any, tmp_path: Path) -> None:
    shown = commands()
    keys = {site: shell(shown["key"], site) for site in SITES}
    serve = shown["serve"]
    for site in SITES:
        serve = serve.replace(f"{site}=nbfed-site-key:...", f"{site}={keys[site]}")
    shell(f"{serve} --rounds 2")
    wait_until_healthy(shell.docker, f"{shell.tag}-federation", SERVER)
    address = shell.run(f"docker inspect -f '{{{{.NetworkSettings.IPAddress}}}}' {shell.tag}-federation")
    there = {"docker run": f"docker run --env OMP_NUM_THREADS=1 --add-host {HOST}:{address}"}
    for place, site in enumerate(SITES, 1):
        assert "no      " not in shell(shown["doctor"], site, **there)
        own = {"--name hospital-a": f"--name {site} --share {place}/{len(SITES)}"}
        shell(shown["up"], site, **there, **own)
    for name in (f"{shell.tag}-{name}" for name in ("federation", *SITES)):
        assert shell.run(f"docker wait {name}") == "0", shell.run(f"docker logs {name} 2>&1")
    shell.run(f"docker cp {shell.tag}-federation:/scratch/run {tmp_path}/run")
    assert nbfed("report", tmp_path / "run")["state"] == "completed"
