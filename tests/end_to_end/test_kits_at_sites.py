"""A coordinator's folder, its server, and sites that have nothing but their kit: all real programs."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tomli_w
from nbfed_site import keys
from nbfed_site.contracts import Manifest, rebuilt
from nbfed_site.receipts import read_receipts
from notebook_federator import api, federating, slicing, templates
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.federation.federation_settings import FederationSettings, Images, RoundWishes, plain
from notebook_federator.kits.issuing import Wishes, issue
from notebook_federator.ledger import Ledger

from ..engine.containers import SITE, USER, Container
from ..engine.federated import Server, await_that
from ..engine.mutual import free_port

pytestmark = pytest.mark.end_to_end
NAMES = ("hospital-a", "hospital-b")
_SECONDS = 300.0
_WAIT = "    import os, time\\n    while os.path.exists(os.environ.get('GATE', '')): time.sleep(0.02)\\n"


@pytest.fixture(scope="module")
def slice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The breast-cancer example as it lies in a client image; its training waits while GATE is there."""
    folder = tmp_path_factory.mktemp("image")
    notebook = templates.write(folder / "breast.ipynb", "breast-cancer")
    begin = "def train(net, trainloader, valloader, epochs):\\n"
    text = notebook.read_text()
    assert text.count(begin) == 1
    notebook.write_text(text.replace(begin, begin + _WAIT))
    checked = api.check(notebook)
    slicing.write(checked.slice, folder / "slice")
    return folder / "slice"


class Study:
    """One federation of two sites, each with its kit."""

    def __init__(self, folder: Path, slice_folder: Path) -> None:
        self.folder, self.slice = folder, slice_folder
        manifest = rebuilt(Manifest, json.loads((slice_folder / "manifest.json").read_bytes()))
        images = Images(
            server="registry.example.org/lab/study@sha256:" + "a" * 64,
            client="registry.example.org/lab/study@sha256:" + "b" * 64,
            notebook_digest=manifest.notebook_digest,
            slice_digest=manifest.slice_digest,
        )
        settings = FederationSettings(
            name="study",
            server=f"https://127.0.0.1:{free_port()}",
            images=images,
            rounds=RoundWishes(rounds=3, epochs=2, deadline=120.0, join_deadline=120.0),
        )
        self.federation = FederationFolder(folder / "study")
        settings_bytes = tomli_w.dumps(plain(settings)).encode()
        self.federation.create(settings, settings_bytes, manifest, datetime.now(UTC))
        self.server = Server(self.federation)
        self.sites: dict[str, Container] = {}
        self.gate = folder / "gate"
        for number, name in enumerate(NAMES, start=1):
            federating.add_sites(self.federation, [name], datetime.now(UTC))
            here = {"NBFED_KIT": str(self.kit(name)), "NBFED_SLICE": str(slice_folder)}
            here["GATE"] = str(self.gate)
            self.sites[name] = Container(SITE, folder / name, here | {"NBFED_SHARE": f"{number}/2"})

    def kit(self, name: str, again: bool = False) -> Path:
        return issue(self.federation, name, Wishes(again=again), datetime.now(UTC)).path

    def end(self) -> list[int]:
        """Exit codes of the server and its sites, once the run is over."""
        assert self.server.process is not None
        return [self.server.process.wait(_SECONDS), *(site.end(_SECONDS) for site in self.sites.values())]

    def close(self) -> None:
        for site in self.sites.values():
            site.kill()
        self.server.kill()


@pytest.fixture
def study(tmp_path: Path, slice_folder: Path) -> Iterator[Study]:
    made = Study(tmp_path, slice_folder)
    yield made
    made.close()


def unwell(doctor: subprocess.CompletedProcess[str]) -> dict[str, str]:
    findings = json.loads(doctor.stdout)["data"]["findings"]
    return {item["what"]: item["advice"] for item in findings if item["level"] == "no"}


def test_two_commands_at_each_site_make_a_model_and_one_record_at_both_ends(
    study: Study, slice_folder: Path
) -> None:
    study.server.start()
    one, other = study.sites.values()
    assert unwell(one.call("doctor", "--format", "json")) == {}
    assert not any(site.key for site in study.federation.membership().members), "the doctor joins nothing"
    study.gate.touch()
    for site in study.sites.values():
        site.start("up")
    one.until("training", _SECONDS, round=1)
    one.kill()
    study.gate.unlink()
    one.start("up")
    assert study.end() == [0, 0, 0], study.server.log + one.log + other.log
    with study.federation.open_ledger() as ledger:
        joins = [entry.body["site"] for entry in ledger.entries() if entry.kind == "site_joined"]
    assert sorted(joins) == list(NAMES), "a site that was killed joins no second time"
    check_records(study)
    check_confined(study, slice_folder)


def check_confined(study: Study, older: Path) -> None:
    """The private key is its owner's; no file of the user lies anywhere but in scratch folders."""
    site = study.sites["hospital-a"]
    assert stat.S_IMODE((site.scratch / "key.pem").stat().st_mode) == 0o600
    if os.getuid() == 0:
        places = ["/tmp", "/var/tmp", "/dev/shm"]
        command = ["find", *places, "-uid", str(USER), "-newer", str(older)]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        assert found
        tests = str(study.folder.parents[1])  # other tests may run beside this one
        assert [path for path in found if not path.startswith(tests)] == []


def test_a_server_that_is_stopped_goes_on_with_its_sites(study: Study) -> None:
    study.server.start()
    for site in study.sites.values():
        site.start("up", "--format", "json")
    study.server.until("round_finished", round=1)
    assert study.server.process is not None
    study.server.process.send_signal(signal.SIGTERM)
    assert study.server.end() == 130
    one = study.sites["hospital-a"]
    one.until("disconnected")
    assert one.process is not None
    assert one.process.poll() is None
    study.server.start()
    assert study.end() == [0, 0, 0], study.server.log
    said = [json.loads(line)["event"] for line in one.log.splitlines() if line.startswith("{")]
    assert {"joined", "connected", "released", "stopped"} <= set(said)


def check_records(study: Study) -> None:
    """What the run's ledger keeps of each site's receipts are entries of the site's own, signed record."""
    run = Ledger(study.federation.run(1).ledger, lambda: "")
    kept: dict[str, list[dict[str, object]]] = {name: [] for name in NAMES}
    for entry in run.entries():
        if "receipts" in entry.body:
            kept[entry.body["site"]] += entry.body["receipts"]
    run.close()
    for member in study.federation.membership().members:
        scratch = study.sites[member.name].scratch
        assert keys.public_key(scratch / "key.pem") == member.key
        own = read_receipts(scratch / "receipts.jsonl", member.key)
        assert [entry.event for entry in own[:2]] == ["approved", "joined"]
        hashes = [entry.hash for entry in own]
        found = [hashes.index(str(item["hash"])) for item in kept[member.name]]
        assert len(found) >= 6
        assert found == sorted(found)


def test_a_stale_kit_and_a_stolen_one_are_refused_with_the_reason(study: Study, tmp_path: Path) -> None:
    study.server.start()
    one = study.sites["hospital-a"]
    stolen = replace(one, scratch=tmp_path / "thief", environment=dict(one.environment), process=None)
    one.start("up")
    one.until("joined")
    answer = stolen.call("up")
    assert answer.returncode == 2
    assert "used before, with another key: somebody may have a copy of the kit" in answer.stderr
    one.kill()
    folder = Path(one.environment["NBFED_KIT"])
    folder.rename(tmp_path / "old kit")
    study.kit("hospital-a", again=True)
    one.environment["NBFED_KIT"] = str(tmp_path / "old kit")
    late = replace(one, scratch=tmp_path / "late", environment=dict(one.environment), process=None)
    answer = late.call("up")
    assert answer.returncode == 2
    assert "The kit is stale" in answer.stderr
    one.environment["NBFED_KIT"] = str(folder)
    one.start("up")
    record = one.scratch / "receipts.jsonl"
    await_that(lambda: [entry.event for entry in read_receipts(record)].count("joined") == 2)
