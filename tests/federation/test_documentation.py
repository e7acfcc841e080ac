"""The coordinator's commands as README and how-to show them, in their order; only the address is another.

Those that need images, containers or a site's file are run as they are shown by tests/containers.
"""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from coordinator import built, nbfed

PAGES = ("README.md", "docs/how-to/set-up-a-federation.md")
ELSEWHERE = ("nbfed build", "nbfed ledger compare", "docker compose", "sh site", "unzip", "cd ")


def commands(page: Path) -> list[str]:
    """The commands of a page's blocks, without their comments."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.partition("  #")[0].strip() for line in "".join(blocks).splitlines()]


class Desk:
    """Gives a page's commands in a folder of its own; the server runs beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.server: subprocess.Popen[bytes] | None = None

    def gives(self, command: str) -> str:
        """Give a command; what it prints. One that serves goes on."""
        words = shlex.split(command.replace("fed.example.org:9092", self.address))[1:]
        if words[0] == "serve":
            return self._serve(*words)
        found = nbfed(*words, cwd=self.folder)
        assert found.returncode == 0, f"{command}\n{found.stdout}\n{found.stderr}"
        return found.stdout

    def _serve(self, *words: str) -> str:
        program = [sys.executable, "-m", "notebook_federator.cli", *words]
        self.server = subprocess.Popen(program, cwd=self.folder, stderr=subprocess.DEVNULL)
        health, until = self.folder / words[1] / ".server/health.json", time.monotonic() + 60
        while not health.exists() or json.loads(health.read_bytes())["state"] != "listening":
            assert self.server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        return ""


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page_work(name: str, repository: Path, tmp_path: Path) -> None:
    desk, shown = Desk(tmp_path), commands(repository / name)
    notebook = tmp_path / next(command for command in shown if " init " in command).split()[3]
    nbfed("new", notebook.name, "--example", "breast-cancer", cwd=tmp_path)
    built(notebook)
    said = {}
    try:
        for command in shown:
            if "renew" in command:
                notebook.write_text(notebook.read_text().replace("epochs", "epochs "))
                built(notebook, "e")
            if not command.startswith(ELSEWHERE):
                said[command] = desk.gives(command)
            if command.endswith("stop"):
                assert desk.server is not None
                assert desk.server.wait(60) == 0
    finally:
        if desk.server is not None:
            desk.server.kill()
            desk.server.wait()
    status = next(text for command, text in said.items() if command.startswith("nbfed status"))
    assert "hospital-b  invited" in status


def test_every_command_shown_is_run(repository: Path) -> None:
    """A page with commands that neither this nor tests/containers runs would show here."""
    pages = [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]
    with_commands = {str(page.relative_to(repository)): commands(page) for page in pages if commands(page)}
    assert with_commands.keys() == {*PAGES, "docs/how-to/run-a-site.md"}
    site = with_commands["docs/how-to/run-a-site.md"]
    assert [command for command in site if not command.startswith(ELSEWHERE)] == []
