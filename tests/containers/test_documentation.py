"""The commands of the pages for coordinator and site, run as they are shown, with this machine's names."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from container_engines import DOCKER, UID, Engine
from container_federation import SERVER, give_away, wait_until_healthy

pytestmark = pytest.mark.end_to_end
PAGES = Path(__file__).resolve().parents[2] / "docs/how-to"
SITES = ("hospital-a", "hospital-b")


def blocks(page: str) -> list[str]:
    """A page's blocks of commands, in order."""
    return re.findall(r"```bash\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)


def shown(start: str) -> str:
    """The first command of the coordinator's page that starts so, without its comment."""
    lines = "".join(blocks("set-up-a-federation.md")).splitlines()
    return next(line for line in lines if line.startswith(start)).partition("  #")[0].strip()


@dataclass(frozen=True)
class Shell:
    """Runs a page's commands with other names in them."""

    docker: Engine
    names: Mapping[str, str]
    environment: Mapping[str, str]

    def __call__(self, commands: str, folder: Path, **variables: str) -> str:
        """Run a block in a folder; what it prints."""
        for old, new in self.names.items():
            commands = commands.replace(old, new)
        found = subprocess.run(
            ["bash", "-ec", commands],
            cwd=folder, env=self.environment | variables, timeout=600,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert found.returncode == 0, f"{commands}\n{found.stdout}\n{found.stderr}"
        return found.stdout + found.stderr


@pytest.fixture
def shell(docker: Engine, debian_base: str, open_folder: Callable[[], Path]) -> Shell:
    """A shell with Docker, Compose and nbfed; its images come from the tests' own registry."""
    if not (shutil.which("docker-compose") and shutil.which("unzip")):
        pytest.skip("no Compose or unzip here (Debian: apt-get install docker-compose unzip)")
    data, port = open_folder(), free_port()
    (data / "a.csv").write_text("a")
    programs = (Path(DOCKER).parent, Path(sys.executable).parent, os.environ["PATH"])
    own = {
        "PATH": os.pathsep.join(map(str, programs)),
        "NBFED_ENGINE": "docker",
        "NBFED_USER": f"{UID}:{UID}",
        "COMPOSE_PROJECT_NAME": f"nbfed{port}",
    }
    names = {
        "ghcr.io/our-lab/study": f"{debian_base.partition('/')[0]}/pages --base {debian_base}",
        "fed.example.org:9092": f"fed.example.org:{port}",
        "docker compose": "docker-compose",
        "/path/to/data": str(data),
    }
    return Shell(docker, names, {**os.environ, **docker.environment, **own})


def test_the_pages_commands_run_a_federation(
    shell: Shell, open_folder: Callable[[], Path], tmp_path: Path
) -> None:
    home = open_folder()
    shell("nbfed new study.ipynb --example breast-cancer", home)
    shell(shown("nbfed build"), home)
    shell(shown("nbfed federation init"), home)
    shell(shown("nbfed federation add-site").removesuffix(" hospital-c"), home)
    for site in SITES:
        shell(shown("nbfed kit").replace("hospital-a", site), home)
        (tmp_path / site).mkdir()
        (home / "study-federation/kits" / f"{site}.zip").rename(tmp_path / site / f"{site}.zip")
    give_away(home / "study-federation")
    server = f"{shell.environment['COMPOSE_PROJECT_NAME']}_server_1"
    shell(shown("docker compose"), home / "study-federation")
    try:
        wait_until_healthy(shell.docker, server, SERVER)
        for place, site in enumerate(SITES, 1):
            take_part(shell, tmp_path / site, site, place)
        assert "hospital-b" in shell(shown("nbfed federation list"), home)
        assert shell(f"docker wait {server}", home).strip() == "0"
        keep_receipts(shell, tmp_path / SITES[0] / SITES[0], home / "receipts-of-hospital-a.jsonl")
        shell("nbfed report study-federation/runs/1", home)
        shell(shown("nbfed ledger verify"), home)
        shell(shown("nbfed ledger compare"), home)
    finally:
        shell("docker-compose down", home / "study-federation")
        for site in SITES:
            shell("sh site erase --yes", tmp_path / site / site)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def take_part(shell: Shell, folder: Path, site: str, place: int) -> None:
    """The site's page, up to where the study is over."""
    join, look, *_ = (block.replace("hospital-a", site) for block in blocks("run-a-site.md"))
    reach = "--add-host fed.example.org:host-gateway --env OMP_NUM_THREADS=1"
    own = {"NBFED_ENGINE_OPTIONS": reach, "NBFED_SHARE": f"{place}/{len(SITES)}"}
    said = shell(join, folder, **own)
    assert not re.search(r"^no ", said, re.MULTILINE), said
    assert "The site takes part." in said
    shell(look.replace("sh site stop\n", ""), folder / site)


def keep_receipts(shell: Shell, kit: Path, path: Path) -> None:
    """The first command of the end of the site's page."""
    *_, end = blocks("run-a-site.md")
    shell(end.splitlines()[0], kit)
    (kit / "receipts.jsonl").rename(path)
