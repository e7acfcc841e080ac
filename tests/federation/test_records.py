"""`nbfed ledger verify` and `compare`, on a federation with two runs and its sites' receipts."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from coordinator import nbfed
from nbfed_site.contracts import Receipt, RoundInput, canonical_json
from nbfed_site.receipts import Receipts
from notebook_federator.federating import add_sites
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.ledger import Ledger, Signer

NOW = datetime(2030, 1, 2, tzinfo=UTC)


class Site:
    """A site with a key and its own record of what it did."""

    def __init__(self, name: str, folder: Path, now: datetime | None = None) -> None:
        self.name, self.signer = name, Signer.make()[1]
        self.path = folder / f"{name}.jsonl"
        self.receipts = Receipts(self.path, lambda: now or datetime.now(UTC), self.signer.sign_text)

    def does(self, task: str, number: int = 0, **told: str) -> list[Receipt]:
        asked = RoundInput(f"{task}-{number}", "train" if task == "train" else "evaluate", number)
        return [self.receipts.record(event, asked, None, told) for event in ("received", "released")]


def run(folder: FederationFolder, number: int, sites: list[Site]) -> None:
    """A finished run of two rounds, as the server records it."""
    run_folder = folder.run(number)
    run_folder.path.mkdir(parents=True)
    with folder.open_ledger() as above:
        above.append("run_started", run=number)
        entries, head = above.head()
        with Ledger(run_folder.ledger, lambda: "", signer=folder.signer()) as ledger:
            key = folder.public_key.read_text()
            ledger.append("opened", run=number, federation="study", key=key, entries=entries, head=head)
            for round_number in (1, 2):
                for site in sites:
                    told = f"{entries}:{head}"
                    kept = [asdict(receipt) for receipt in site.does("train", round_number, ledger=told)]
                    ledger.append("update", site=site.name, round=round_number, receipts=kept)
            ledger.append("finished", rounds=2)
            last = ledger.head()
        above.append("run_finished", run=number, entries=last[0], head=last[1])


@pytest.fixture
def study(federation: FederationFolder, tmp_path: Path) -> tuple[FederationFolder, list[Site]]:
    sites = [Site(name, tmp_path) for name in ("hospital-a", "hospital-b")]
    add_sites(federation, [site.name for site in sites], NOW)
    with federation.open_ledger() as ledger:
        for site in sites:
            facts = {"kit": "k", "token": "t", "certificate": "1", "expires": "2031-01-01T00:00:00Z"}
            ledger.append("site_joined", site=site.name, key=site.signer.public_key, **facts)
    for number in (1, 2):
        run(federation, number, sites)
    return federation, sites


Study = tuple[FederationFolder, list[Site]]


def verify(path: Path, *words: str) -> tuple[int, Any]:
    return _envelope(nbfed("ledger", "verify", str(path), *words, "--format", "json", cwd=path.parent))


def compare(place: Path, receipts: Path, *words: str) -> tuple[int, Any]:
    found = nbfed(
        "ledger", "compare", str(place), str(receipts), *words, "--format", "json", cwd=place.parent
    )
    return _envelope(found)


def _envelope(found: subprocess.CompletedProcess[str]) -> tuple[int, Any]:
    assert found.stdout, found.stderr
    value = json.loads(found.stdout)
    assert found.returncode == value["exit_code"]
    return found.returncode, value.get("data", value)


def tamper(ledger: Path, statement: str) -> None:
    with sqlite3.connect(ledger) as db:
        db.execute("DROP TRIGGER no_update")
        db.execute("DROP TRIGGER no_delete")
        db.execute(statement)
    db.close()


def kit(folder: FederationFolder) -> None:
    folder.kit("hospital-a").mkdir()
    (folder.kit("hospital-a") / "kit.json").write_text("{}")


def edit(folder: FederationFolder) -> None:
    folder.settings_file.write_text(folder.settings_file.read_text().replace("seed = 0", "seed = 1"))


def test_a_federation_that_nobody_touched(study: Study) -> None:
    folder, _ = study
    status, found = verify(folder.path, "--key", str(folder.public_key))
    assert (status, found["findings"]) == (0, [])
    assert [Path(item["path"]).parent.name for item in found["ledgers"]] == ["study", "1", "2"]
    assert all(item["signed"] for item in found["ledgers"])
    text = nbfed("ledger", "verify", str(folder.run(1).path), cwd=folder.path).stdout
    assert "6 entries, each signed" in text
    assert "Everything is as it was written." in text


@pytest.mark.parametrize(
    ("act", "part"),
    [
        (lambda folder: tamper(folder.ledger, "DELETE FROM entries WHERE sequence = 2"), "Entry 2"),
        (
            lambda folder: tamper(folder.run(1).ledger, "UPDATE entries SET kind = 'x' WHERE sequence = 3"),
            "Entry 3",
        ),
        (
            lambda folder: tamper(folder.run(2).ledger, "DELETE FROM entries WHERE sequence = 5"),
            "once ended with",
        ),
        (lambda folder: shutil.rmtree(folder.run(2).path), "Run 2 is in the federation's ledger"),
        (lambda folder: shutil.copytree(folder.run(1).path, folder.run(3).path), "Run 3 is not in"),
        (lambda folder: folder.ledger.unlink(), "ledger.sqlite is missing"),
        (lambda folder: folder.ledger.write_bytes(b"no database" * 100), "cannot be opened"),
        (lambda folder: tamper(folder.ledger, "DELETE FROM entries WHERE sequence > 3"), "lacks entries"),
        (kit, "no kit that the ledger knows of"),
        (edit, "says something else than the ledger"),
    ],
)
def test_what_is_found(study: Study, act: Callable[[FederationFolder], object], part: str) -> None:
    folder, _ = study
    act(folder)
    status, found = verify(folder.path)
    assert status == 1
    assert any(part in item for item in found["findings"]), found["findings"]


def test_a_noted_head_finds_a_cut(study: Study) -> None:
    folder, _ = study
    with folder.open_ledger() as ledger:
        ledger.append("ordered", order="pause")
        count, head = ledger.head()
    noted = ("--head", f"{count}:{head}")
    assert verify(folder.path, *noted)[0] == 0
    tamper(folder.ledger, f"DELETE FROM entries WHERE sequence = {count - 1}")
    assert verify(folder.path)[0] == 0  # a cut at the end shows only to who noted what there was
    assert verify(folder.path, *noted)[0] == 1


def test_a_site_that_was_told_the_head_finds_a_cut(study: Study) -> None:
    folder, (site, _) = study
    with folder.open_ledger() as ledger:
        ledger.append("waived", site="hospital-b", reason="agreed")
        count, head = ledger.head()
    received = site.does("train", 3, ledger=f"{count}:{head}")
    with Ledger(folder.run(2).ledger, lambda: "", signer=folder.signer()) as ledger:
        ledger.append("update", site=site.name, round=3, receipts=[asdict(item) for item in received])
    assert compare(folder.path, site.path)[0] == 0
    tamper(folder.ledger, f"DELETE FROM entries WHERE sequence = {count - 1}")
    assert verify(folder.path)[1]["findings"] == []
    status, found = compare(folder.path, site.path)
    assert status == 1
    (finding,) = found["findings"]
    assert "lacks entries that it had" in finding
    assert f"it ended with {count}:{head} then" in finding


def test_an_answer_that_was_refused_is_no_difference(study: Study) -> None:
    folder, (site, _) = study
    refused = [asdict(receipt) for receipt in site.does("train", 3)]
    with Ledger(folder.run(2).ledger, lambda: "", signer=folder.signer()) as ledger:
        ledger.append("failed", site=site.name, round=3, what="The server refused it.", receipts=refused)
    assert compare(folder.path, site.path)[1]["findings"] == []


def test_another_key_and_wrong_calls(study: Study, tmp_path: Path) -> None:
    folder, _ = study
    (tmp_path / "other.pub").write_text(Signer.make()[1].public_key)
    status, found = verify(folder.path, "--key", str(tmp_path / "other.pub"))
    assert status == 1
    assert "another federation" in found["findings"][0]
    for words in (("--key", "absent"), ("--head", "nonsense")):
        assert verify(folder.path, *words)[0] == 4
    assert verify(tmp_path / "absent")[0] == 4
    assert not (tmp_path / "absent").exists()


def test_a_site_and_its_coordinator_agree(study: Study) -> None:
    folder, sites = study
    for site in sites:
        status, found = compare(folder.path, site.path)
        assert (status, found["site"], found["findings"]) == (0, site.name, [])
        assert (found["entries"], found["kept"]) == (8, 8)
        assert compare(folder.run(2).path, site.path)[1]["kept"] == 4


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))


def test_what_a_comparison_finds(study: Study, tmp_path: Path) -> None:
    folder, (site, other) = study
    whole = site.path.read_bytes()
    rewrite(site.path, lambda lines: lines[3].update(arrays_digest="sha256:x"))
    status, found = compare(folder.path, site.path, "--site", "hospital-a")
    assert status == 1
    assert "line 4" in found["findings"][0]

    site.path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    status, found = compare(folder.path, site.path)
    assert status == 1
    assert found["findings"][0].startswith("Entry 7 (released train, round 2")

    site.path.write_bytes(whole)
    status, found = compare(folder.path, site.path, "--site", "hospital-b")
    assert status == 1
    assert "not signed with any key that hospital-b joined with" in found["findings"][0]

    began = datetime.fromisoformat(json.loads(whole.splitlines()[0])["at"])
    again = Site("hospital-a", tmp_path / "again", began)  # whose first entries have the same hashes
    for number in (1, 2, 1, 2):
        again.does("train", number)
    status, found = compare(folder.path, again.path)
    assert status == 4  # nobody's

    unknown = other.does("train", 3)[1]
    status, found = compare(folder.path, other.path)
    assert status == 1
    assert found["findings"] == [
        f"Entry {unknown.sequence} (released train, round 3, {unknown.at}) left the site and is not in the "
        "coordinator's ledger."
    ]


def test_an_answer_that_was_sent_anew_is_no_difference(study: Study) -> None:
    folder, (site, _) = study
    lost, kept = site.does("train", 3), site.does("train", 3)
    with Ledger(folder.run(2).ledger, lambda: "", signer=folder.signer()) as ledger:
        ledger.append("update", site=site.name, round=3, receipts=[asdict(receipt) for receipt in kept])
    status, found = compare(folder.path, site.path)
    assert (status, found["findings"]) == (0, [])
    assert f"Entry {lost[1].sequence} " in found["notes"][0]


def test_a_coordinator_who_changed_a_receipt(study: Study) -> None:
    folder, (site, _) = study
    with Ledger(folder.run(2).ledger, lambda: "") as ledger:
        number, entry = next((item.sequence, item) for item in ledger.entries("update"))
    body = json.loads(json.dumps(entry.body))
    body["receipts"][1].update(round=9, hash="sha256:" + "0" * 64)
    body["receipts"][1]["signature"] = site.signer.sign_text(body["receipts"][1]["hash"])
    text = canonical_json(body).decode()
    tamper(folder.run(2).ledger, f"UPDATE entries SET body = '{text}' WHERE sequence = {number}")
    status, found = compare(folder.path, site.path)
    assert status == 1
    assert "is another than in" in found["findings"][0]
    assert "round is 1, not 9" in found["findings"][0]
