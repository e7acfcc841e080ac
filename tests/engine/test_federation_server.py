"""A federation's server as a real process: joining, status, decisions, and what it survives."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nbfed_site.link import generate_key
from notebook_federator import federating
from notebook_federator.comparing import compare
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.ledger import Ledger

from .federated import Kit, LightSite, Server, await_that, give_kit, make_federation
from .mutual import call, client_context

NOW = datetime.now(UTC)
NBFED = [sys.executable, "-m", "notebook_federator.cli"]
PULLS = {"a": 0.0, "b": 2.0, "c": 5.0}


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes federations with their servers, which are killed at the end."""
    made: list[Server] = []

    def make(**wishes: Any) -> Server:
        made.append(Server(make_federation(tmp_path / f"study-{len(made)}", **wishes)))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., dict[str, LightSite]]]:
    """Gives sites their kits and starts the server; they join and serve until the end of the test."""
    made: list[LightSite] = []

    def make(server: Server, *names: str, may_train: bool = True, words: Any = ()) -> dict[str, LightSite]:
        kits = {name: give_kit(server.federation, name, tmp_path / "sites") for name in names}
        server.start(*words)
        for name, kit in kits.items():
            assert kit.join()[0] == 200
            made.append(LightSite(kit, PULLS[name]))
            if may_train:
                made[-1].may_train.set()
            made[-1].start()
        return dict(zip(names, made[-len(names) :], strict=True))

    yield make
    for site in made:
        site.may_train.set()
        site.stopped.set()


def entries(federation: FederationFolder, kind: str) -> list[dict[str, Any]]:
    with federation.open_ledger() as ledger:
        ledger.verify(federation.public_key.read_text())
        return [dict(entry.body) for entry in ledger.entries(kind)]


def test_a_study_from_first_join_to_last_round(study: Any, sites: Any, tmp_path: Path) -> None:
    server = study()
    federation = server.federation
    kits = {name: give_kit(federation, name, tmp_path / "sites") for name in ("a", "b")}
    server.start()
    assert [site["stage"] for site in server.status()["sites"]] == ["invited", "invited"]
    light = [LightSite(kit, PULLS[name]) for name, kit in kits.items()]
    for site in light:
        assert site.kit.join()[0] == 200
        assert server.site(site.kit.site)["stage"] == "joined"
        site.start()
    light[0].may_train.set()
    light[1].began.wait(30)
    await_that(lambda: server.site("a")["stage"] == "sent")
    state = await_that(lambda: server.site("b")["stage"] == "training" and server.status())
    assert state["run"] | {"deadline": ""} == {
        "number": 1, "state": "running", "round": 1, "rounds": 3, "deadline": "", "quorum": 2,
    }  # fmt: skip
    assert [(site["stage"], site["round"], site["epoch"]) for site in state["sites"]] == [
        ("sent", 1, 0),
        ("training", 1, 1),
    ]
    assert state["sites"][1]["heard_seconds"] < 20
    assert "deadline in" in server.call("status").stdout
    assert server.call("healthy").stdout == "listening\n"
    light[1].may_train.set()
    assert server.end() == 0, server.log
    check_end(federation, server)
    check_what_sites_were_told(federation, kits["a"])


def check_end(federation: FederationFolder, server: Server) -> None:
    """Both ledgers fit together, and a finished run is left alone."""
    (finished,) = entries(federation, "run_finished")
    with Ledger(federation.run(1).ledger, lambda: "") as ledger:
        assert ledger.verify(federation.public_key.read_text()) == finished["entries"]
        assert ledger.head() == (finished["entries"], finished["head"])
        opened = next(ledger.entries("opened"))
    assert (opened.body["run"], opened.body["federation"]) == (1, "study")
    assert [entry["run"] for entry in entries(federation, "run_started")] == [1]
    assert server.call("healthy").returncode == 1
    assert "Run 1 is over" in server.call("serve").stderr
    assert server.call("status").returncode == 2


def check_what_sites_were_told(federation: FederationFolder, kit: Kit) -> None:
    """A site knows how far the federation's ledger went, so that a cut at its end shows."""
    receipts = kit.folder / "receipts.jsonl"
    assert compare(federation.path, receipts).findings == ()
    with sqlite3.connect(federation.ledger) as db:
        db.execute("DROP TRIGGER no_delete")
        db.execute("DELETE FROM entries WHERE kind IN ('run_finished', 'site_joined') AND sequence > 5")
    db.close()
    assert "lacks entries that it had" in compare(federation.path, receipts, "a").findings[-1]


def test_tokens_work_once(study: Any, tmp_path: Path) -> None:
    server = study()
    kit = give_kit(server.federation, "a", tmp_path / "sites")
    server.start()
    assert kit.join()[0] == 200
    given = kit.certificate.read_bytes()
    for _ in range(3):  # a lost answer, asked for again
        assert kit.join()[0] == 200
        assert kit.certificate.read_bytes() == given
    assert [entry["site"] for entry in entries(server.federation, "site_joined")] == ["a"]
    thief = tmp_path / "thief.pem"
    generate_key(thief)
    for _ in range(3):
        status, told = kit.join(thief)
        assert (status, told["code"]) == (409, "NE203")
        assert "copy of the kit" in told["what"]
        assert told["hint"]
    assert [entry["site"] for entry in entries(server.federation, "join_refused")] == ["a"]
    assert "copy of the kit" in server.site("a")["cause"]
    assert server.until("decided", kind="join_refused")


def test_what_else_is_no_way_to_join(study: Any, tmp_path: Path) -> None:
    server = study()
    old = give_kit(server.federation, "a", tmp_path / "sites")
    new = give_kit(server.federation, "a", tmp_path / "sites")
    gone = give_kit(server.federation, "b", tmp_path / "sites")
    federating.remove_site(server.federation, "b", "the contract ended", NOW)
    server.start()
    for kit, changes, status, said in (
        (old, {}, 409, "stale"),
        (gone, {}, 403, "the contract ended"),
        (new, {"slice": "sha256:" + "0" * 64}, 426, "other code"),
        (new, {"versions": "nbfed 0.0.1, flwr 1.0"}, 426, "other versions than the server"),
        (new, {"csr": "nonsense"}, 403, "certificate request"),
    ):
        answer = kit.join(**changes)
        assert answer[0] == status
        assert said in answer[1]["what"]
    context = client_context(server.federation.certificate("authority"), new.token)
    odd = json.dumps(json.loads(new.request()) | {"csr": "\ud800"}).encode()
    unsaid = json.dumps({"versions": "\ud800"}).encode()
    for body in (odd, unsaid, b"", b"[]", b"{", b'{"versions": 1}', b"[" * 60_000, b"\xff"):
        status, _ = call(server.federation.settings().server, context, "POST", "/v1/join", body)
        assert status in (403, 426)
    before = len(entries(server.federation, "join_refused"))
    for number in range(3):
        status, told = new.join(versions=f"nbfed {number}")
        assert (status, told["hint"]) == (426, f"It runs nbfed {number}: use the image that the kit names.")
    assert len(entries(server.federation, "join_refused")) == before
    assert new.join()[0] == 200


def test_of_two_who_join_at_once_with_one_token_one_does(study: Any, tmp_path: Path) -> None:
    server = study()
    kit = give_kit(server.federation, "a", tmp_path / "sites")
    server.start()
    keys = [tmp_path / f"{number}.pem" for number in range(6)]
    for key in keys:
        generate_key(key)
    with ThreadPoolExecutor(len(keys)) as pool:
        answers = list(pool.map(kit.join, keys))
    assert sorted(status for status, _ in answers) == [200] + 5 * [409]
    assert len({entry["key"] for entry in entries(server.federation, "site_joined")}) == 1


def test_many_sites_join_at_once(study: Any, tmp_path: Path) -> None:
    server = study()
    names = [f"site-{number}" for number in range(12)]
    kits = [give_kit(server.federation, name, tmp_path / "sites") for name in names]
    server.start()
    with ThreadPoolExecutor(len(kits)) as pool:
        assert {status for status, _ in pool.map(Kit.join, kits)} == {200}
    assert sorted(entry["site"] for entry in entries(server.federation, "site_joined")) == sorted(names)


def test_commands_and_joins_at_one_moment(study: Any, tmp_path: Path) -> None:
    server = study()
    names = [f"site-{number}" for number in range(8)]
    kits = [give_kit(server.federation, name, tmp_path / "sites") for name in names]
    server.start()

    def command(*words: str) -> int:
        whole = [*NBFED, "federation", *words, "--folder", str(server.federation.path)]
        return subprocess.run(whole, capture_output=True, check=False).returncode

    orders = (("add-site", "x"), ("add-site", "y"), ("pause",), ("waive", "site-1", "--reason", "z"))
    with ThreadPoolExecutor(len(kits) + len(orders)) as pool:
        commands = [pool.submit(command, *words) for words in orders]
        answers = list(pool.map(Kit.join, kits))
        codes = [found.result() for found in commands]
    assert ({status for status, _ in answers}, codes) == ({200}, [0] * 4)
    assert sorted(entry["site"] for entry in entries(server.federation, "site_joined")) == names
    assert {"x", "y"} <= set(server.federation.settings().sites)
    assert [entry["order"] for entry in entries(server.federation, "ordered")] == ["pause"]
    assert [entry["site"] for entry in entries(server.federation, "waived")] == ["site-1"]


def test_a_site_that_is_away_at_the_end_hears_it_when_it_is_back(study: Any, sites: Any) -> None:
    server = study(quorum="50%")
    found = sites(server, "a", "b", may_train=False, words=("--grace", "60"))
    assert found["b"].began.wait(60)
    found["b"].leave()
    found["a"].may_train.set()
    assert server.until("parting")["sites"] == ["b"]
    assert found["a"].stopped.wait(30)
    assert server.status()["run"]["state"] == "finished"
    assert server.call("healthy").returncode == 0
    back = LightSite(found["b"].kit, PULLS["b"]).start()
    assert back.stopped.wait(30)
    assert back.refused == []
    assert server.end() == 0, server.log
    assert len(entries(server.federation, "run_finished")) == 1


def test_a_server_that_waits_at_the_end_can_be_ended(study: Any, sites: Any) -> None:
    server = study(quorum="50%", rounds=1)
    found = sites(server, "a", "b", may_train=False, words=("--grace", "600"))
    assert found["b"].began.wait(60)
    found["b"].leave()
    found["a"].may_train.set()
    server.until("parting")
    server.process.terminate()
    assert server.end() == 0, server.log
    assert len(entries(server.federation, "run_finished")) == 1


def test_edits_that_no_command_has_recorded_are_told(study: Any, tmp_path: Path) -> None:
    server = study()
    give_kit(server.federation, "a", tmp_path / "sites")
    server.start()
    assert server.status()["unrecorded"] == []
    toml = server.federation.settings_file
    text = toml.read_text().replace("rounds = 3", "rounds = 5")
    toml.write_text(text.replace('["a"]', '["a", "b"]'))
    assert server.status()["unrecorded"] == ["rounds.rounds", "b"]
    assert "not recorded: rounds.rounds, b." in server.call("status").stdout
    subprocess.run([*NBFED, "federation", "list", "--folder", toml.parent], check=True, capture_output=True)
    assert server.status()["unrecorded"] == []
    assert server.site("b")["stage"] == "invited"


def test_a_site_that_is_removed_in_mid_round(study: Any, sites: Any) -> None:
    server = study(quorum="60%")
    found = sites(server, "a", "b", "c", may_train=False)
    for site in found.values():
        assert site.began.wait(60)
    assert server.call("remove-site", "--site", "c", "--reason", "the contract ended").returncode == 0
    await_that(lambda: server.site("c")["stage"] == "removed")
    assert server.site("c")["cause"] == "the contract ended"
    for site in found.values():
        site.may_train.set()
    assert found["c"].stopped.wait(30)
    assert server.end() == 0, server.log
    last = [event for event in server.events() if event["event"] == "round_finished"][-1]
    assert sorted(last["weights"]) == ["a", "b"]


def test_pause_resume_stop(study: Any, sites: Any) -> None:
    server = study(rounds=200)
    sites(server, "a", "b")
    server.until("round_finished", round=1)
    assert server.call("pause").stdout == "No new round begins.\n"
    server.until("paused")
    assert server.status()["run"]["state"] == "paused"
    federating.order(server.federation, "resume", NOW)
    server.until("resumed", after="pause")
    federating.order(server.federation, "stop", NOW)
    assert server.end() == 0, server.log
    assert "Run 1 is over" in server.call("serve").stderr
    assert entries(server.federation, "run_finished") == []


def test_a_server_that_is_killed_goes_on(study: Any, sites: Any) -> None:
    server = study(rounds=12)
    sites(server, "a", "b")
    server.until("round_finished", round=3)
    server.kill()
    assert server.call("status").returncode == 2
    server.start()
    assert server.until("resumed")["round"] >= 3
    assert server.end() == 0, server.log
    again = study(rounds=12)
    sites(again, "a", "b")
    assert again.end() == 0
    models = [one.federation.run(1).models / "last.safetensors" for one in (server, again)]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_data_that_does_not_fit_waits_until_it_is_waived(study: Any, sites: Any, tmp_path: Path) -> None:
    server = study(rounds=1)
    kit = give_kit(server.federation, "a", tmp_path / "sites")
    server.start()
    kit.join()
    site = LightSite(kit, 1.0, unfit=("train: 3 samples, and 10 are asked for",))
    site.may_train.set()
    site.start()
    await_that(lambda: "3 samples" in server.site("a")["cause"])
    assert server.site("a")["stage"] == "image verified"
    assert server.call("waive", "--site", "a", "--reason", "agreed with the clinic").returncode == 0
    assert server.end() == 0, server.log


def test_the_next_run_begins_where_it_is_asked_for(study: Any, sites: Any) -> None:
    server = study(rounds=1)
    sites(server, "a")
    assert server.end() == 0, server.log
    model = server.federation.run(1).models / "last.safetensors"
    assert "--new-run" in server.call("serve", "--from", str(model)).stderr
    sites(server, "b", words=("--new-run", "--from", str(model)))  # added between two runs
    started = server.until("started", count=2)
    assert [member["name"] for member in started["settings"]["members"]] == ["a", "b"]
    assert server.status()["run"]["number"] == 2


def test_the_coordinator_watches_from_the_command_line(study: Any, sites: Any) -> None:
    server = study(rounds=2)
    folder = str(server.federation.path)
    early = subprocess.run([*NBFED, "status", folder], capture_output=True, text=True, check=False)
    assert (early.returncode, "nbfed serve" in early.stderr) == (2, True)
    found = sites(server, "a", "b", may_train=False)
    watching = subprocess.Popen([*NBFED, "status", folder, "--watch"], stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith("study, run 1: ")
    for site in found.values():
        site.may_train.set()
    assert server.end() == 0, server.log
    assert watching.wait(30) == 0
    assert "study, run 1: finished" in watching.stdout.read()
    again = subprocess.run([*NBFED, "serve", folder], capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert f"nbfed report {folder}/runs/1" in again.stdout


def test_one_server_at_a_time(study: Any, tmp_path: Path) -> None:
    server = study()
    give_kit(server.federation, "a", tmp_path / "sites")
    server.start()
    other = server.call("serve")
    assert other.returncode == 4
    assert "Another process" in other.stderr


def test_what_a_server_does_not_begin_with(study: Any, tmp_path: Path) -> None:
    server = study()
    assert "has no sites" in server.call("serve").stderr
    give_kit(server.federation, "a", tmp_path / "sites")
    nowhere = tmp_path / "nowhere.safetensors"
    assert "cannot be copied" in server.call("serve", "--from", str(nowhere)).stderr
    toml = server.federation.settings_file
    toml.write_text(toml.read_text().replace("rounds = 3", "rounds = 0"))
    broken = server.call("serve")
    assert (broken.returncode, "rounds" in broken.stderr) == (4, True)
    assert Server(FederationFolder(tmp_path)).call("serve").returncode == 4


def test_a_ledger_that_was_changed_is_not_served(study: Any, tmp_path: Path) -> None:
    server = study()
    give_kit(server.federation, "a", tmp_path / "sites")
    program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('DROP TRIGGER no_update');"
    program += (
        "db.execute('UPDATE entries SET body = ? WHERE sequence = 2', ['{\"site\": \"b\"}']); db.commit()"
    )
    subprocess.run([sys.executable, "-c", program, str(server.federation.ledger)], check=True)
    refused = server.call("serve")
    assert "Entry 2 of the ledger" in refused.stderr
    assert refused.returncode == 1
