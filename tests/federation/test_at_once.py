"""Commands that change one federation at one moment: each counts, and none waits for ever."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from nbfed_site.contracts import TimedOut
from notebook_federator.federating import add_sites, order
from notebook_federator.federation import exclusive
from notebook_federator.federation.federation_folder import FederationFolder

NOW = datetime.now(UTC)
ADDS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from notebook_federator.federating import add_sites
from notebook_federator.federation.federation_folder import FederationFolder
folder = FederationFolder(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(5):
    add_sites(folder, [f"{sys.argv[2]}-{number}"], datetime.now(UTC))
"""
HOLDS = """
import sys
from pathlib import Path
from notebook_federator.federation.exclusive import exclusive
with exclusive(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def process(program: str, *words: str) -> subprocess.Popen[bytes]:
    """A process that has begun, and goes on when it is told to."""
    command = [sys.executable, "-c", program, *words]
    made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert made.stdout is not None
    assert made.stdout.readline() == b"ready\n"
    return made


def go(one: subprocess.Popen[bytes]) -> None:
    assert one.stdin is not None
    one.stdin.write(b"go\n")
    one.stdin.flush()


def test_sites_added_by_several_commands_are_all_members(federation: FederationFolder) -> None:
    names = ("north", "south", "east", "west")
    adding = [process(ADDS, str(federation.path), name) for name in names]
    for one in adding:
        go(one)
    assert [one.wait(60) for one in adding] == [0] * 4
    expected = sorted(f"{name}-{number}" for name in names for number in range(5))
    assert sorted(federation.settings().sites) == expected
    with federation.open_ledger() as ledger:
        assert ledger.verify(federation.public_key.read_text()) == 2 + len(expected)
        assert sorted(entry.body["site"] for entry in ledger.entries("site_added")) == expected


def test_a_command_waits_for_another_but_not_for_ever(
    federation: FederationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive, "WAIT_SECONDS", 0.2)
    with federation.locked(), pytest.raises(TimedOut, match="Another command has been changing") as caught:
        add_sites(federation, ["hospital-a"], NOW)
    assert caught.value.where == str(federation.path)
    assert federation.settings().sites == ()
    assert order(federation, "pause", NOW).done == ("No new round begins.",)


def test_a_command_that_was_killed_holds_nothing(federation: FederationFolder) -> None:
    holder = process(HOLDS, str(federation.path))
    command = [sys.executable, "-m", "notebook_federator.cli", "federation", "pause"]
    waiting = subprocess.Popen(command, cwd=federation.path, stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(2)
    holder.kill()
    holder.wait()
    assert waiting.wait(30) == 0
