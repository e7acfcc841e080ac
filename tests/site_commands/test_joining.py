"""From a kit to a member: approval, key, certificate, and what the server answers on the way."""

import json
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nbfed_site import keys
from nbfed_site.contracts import ReleasePolicy, RoundInput, SiteState, digest
from nbfed_site.receipts import read_receipts
from notebook_federator.rounds.port import Event, Joined, Progressed

from .conftest import CODE, TRAINS, write_training
from .coordinator import Coordinator, Server

OURS = digest(CODE)


@pytest.fixture
def coordinator(tmp_path: Path) -> Coordinator:
    return Coordinator(tmp_path / "federation")


@pytest.fixture
def serve(coordinator: Coordinator) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(**fields: Any) -> Server:
        made.append(Server(coordinator, OURS, **fields))
        return made[-1]

    yield start
    for server in made:
        server.transport.close()


@pytest.fixture
def kit(coordinator: Coordinator, tmp_path: Path) -> Callable[..., Path]:
    def issue(server: Server, name: str = "kit", **fields: Any) -> Path:
        return coordinator.kit(tmp_path / name, server=server.url, slice_digest=OURS, **fields)

    return issue


@pytest.fixture
def events(scratch: Path) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (scratch / "events.jsonl").read_text().splitlines()]

    return read


def records(scratch: Path) -> list[tuple[str, dict[str, Any]]]:
    found = read_receipts(scratch / "receipts.jsonl", keys.public_key(scratch / "key.pem"))
    return [(entry.event, dict(entry.details)) for entry in found]


def after(server: Server, wanted: Callable[[Event], bool], act: Callable[[], None]) -> threading.Thread:
    """Do ``act`` in a thread of its own once the server has told something."""

    def watch() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if any(wanted(event) for event in server.transport.events(0.2)):
                act()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def is_joined(event: Event) -> bool:
    return isinstance(event, Joined)


def test_a_site_joins_with_its_own_key_and_is_known_from_then_on(serve, kit, site, scratch, events) -> None:
    server = serve()
    folder = kit(server)
    closing = after(server, is_joined, server.transport.close)
    assert site("up", kit=folder) == 0
    closing.join()
    told = [event["event"] for event in events()]
    assert told[:3] == ["approved", "joined", "connected"]
    assert told[-1] == "stopped"
    (asked,) = server.asked
    assert asked["kit"] == digest((folder / "kit.json").read_bytes())
    assert asked["slice"] == OURS
    assert "PRIVATE" not in json.dumps(asked)
    assert stat.S_IMODE((scratch / "key.pem").stat().st_mode) == 0o600
    (approved, what), (joined, where) = records(scratch)
    assert (approved, joined) == ("approved", "joined")
    assert (what["slice"], what["kit"]) == (OURS, asked["kit"])
    assert where == {"kit": asked["kit"], "server": server.url, "days": 400}


def test_it_joins_once(serve, kit, site, scratch) -> None:
    server = serve()
    folder = kit(server)
    for _ in range(2):
        closing = after(server, is_joined, lambda: server.transport.expel("hospital-a"))
        assert site("up", kit=folder) == 2
        closing.join()
        server.transport.admit("hospital-a", keys.public_key(scratch / "key.pem"))
    assert len(server.asked) == 1
    assert [event for event, _ in records(scratch)] == ["approved", "joined"]


@pytest.mark.parametrize("lost", ["answer", "certificate", "receipt", "half a key"])
def test_a_crash_while_joining_is_made_good(serve, kit, site, scratch, lost: str) -> None:
    server = serve()
    folder = kit(server)
    scratch.mkdir()
    if lost == "half a key":
        (scratch / "key.pem.part").write_text("-----BEGIN PRIV")
    else:
        closing = after(server, is_joined, lambda: server.transport.expel("hospital-a"))
        site("up", kit=folder)
        closing.join()
    if lost in ("answer", "certificate"):
        (scratch / "site.pem").unlink()
    if lost in ("answer", "receipt"):
        lines = (scratch / "receipts.jsonl").read_bytes().splitlines(keepends=True)
        (scratch / "receipts.jsonl").write_bytes(lines[0] + lines[1][:40])
    closing = after(server, is_joined, server.transport.close)
    assert site("up", kit=folder) == 0
    closing.join()
    assert len({item["csr"].split("\n")[2] for item in server.asked}) == 1, "it is still the same key"
    assert [event for event, _ in records(scratch)][:2] == ["approved", "joined"]


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(409, "NE203", 2), (403, "NE203", 2), (426, "NE202", 2), (403, "NE501", 2)],
)
def test_a_refusal_is_said_in_the_servers_own_words(
    serve, kit, site, capfd, events, status: int, code: str, exit_code: int
) -> None:
    words = {"code": code, "what": "The kit is stale.", "hint": "Use the newest kit."}
    server = serve(refuse=(status, words))
    assert site("up", kit=kit(server)) == 2
    said = capfd.readouterr().err
    assert "The kit is stale.\nNext: Use the newest kit." in said
    assert events()[-1]["what"] == "The kit is stale."
    assert len(server.asked) == 1, "a refusal is not asked for twice"


def test_a_site_that_was_removed_ends_and_says_why(serve, kit, site, capfd) -> None:
    server = serve()

    def remove() -> None:
        server.removed = "hospital-a was removed: its ethics vote expired"
        server.transport.expel("hospital-a")

    closing = after(server, is_joined, remove)
    assert site("up", kit=kit(server)) == 2
    closing.join()
    assert "its ethics vote expired" in capfd.readouterr().err


def test_a_site_that_is_removed_while_it_trains_stops_at_once(
    serve, kit, site, capfd, slice_folder, tmp_path, coordinator
) -> None:
    code = TRAINS.replace(b"\ntrain(net)\n", b"\nimport time; time.sleep(600)\n")
    write_training(slice_folder, code)
    server = Server(coordinator, digest(code))
    folder = coordinator.kit(tmp_path / "own", server=server.url, slice_digest=digest(code))
    model = {"weight": np.zeros((2, 4), np.float32), "bias": np.zeros(2, np.float32)}

    def remove() -> None:
        server.transport.send(RoundInput("t", "train", 1, model, {"seed": 1}), ["hospital-a"])
        state = SiteState("training", 1)
        while not any(isinstance(e, Progressed) and e.state == state for e in server.transport.events(1)):
            pass
        server.removed = "hospital-a was removed: its ethics vote expired"
        server.transport.expel("hospital-a")

    closing = after(server, is_joined, remove)
    assert site("up", kit=folder) == 2
    closing.join()
    server.transport.close()
    assert "its ethics vote expired" in capfd.readouterr().err


def test_a_server_of_another_slice_is_said(
    serve, kit, site, capfd, coordinator, slice_folder, tmp_path
) -> None:
    server = Server(coordinator, digest(b"the new notebook"))
    try:
        assert site("up", kit=kit(server)) == 2
    finally:
        server.transport.close()
    said = capfd.readouterr().err
    assert "NE202" in said
    assert "slice" in said


@pytest.mark.parametrize("what", ["token", "certificate"])
def test_an_expired_certificate_is_said(
    serve, kit, site, scratch, capfd, coordinator, monkeypatch, what
) -> None:
    server = serve(days=400 if what == "token" else 0)
    if what == "token":
        coordinator.now = coordinator.now.replace(year=coordinator.now.year - 2)
        assert site("up", kit=kit(server)) == 2
        assert not (scratch / "site.pem").exists()
    else:
        assert site("up", kit=kit(server)) == 2
    said = capfd.readouterr().err
    assert "NE204" in said
    assert "does not accept this site's certificate: certificate expired" in said
    assert "new kit" in said


def test_the_certificate_of_another_authority_is_not_spoken_to(kit, site, tmp_path, capfd, serve) -> None:
    stranger = Server(Coordinator(tmp_path / "stranger"), OURS)
    try:
        folder = kit(SimpleNamespace(url=stranger.url))
        assert site("up", kit=folder) == 2
    finally:
        stranger.transport.close()
    said = capfd.readouterr().err
    assert "NE204" in said
    assert "The server's certificate is not accepted" in said
    assert "proxy that opens TLS" in said
    assert not stranger.asked


def test_an_answer_for_another_key_is_not_kept(serve, kit, site, scratch, capfd, tmp_path) -> None:
    from nbfed_site.certificates import signing_request

    server = serve()
    keys.generate_key(tmp_path / "other.pem")
    csr = signing_request(keys.private_key(tmp_path / "other.pem"), "hospital-a").encode()
    issued = server.coordinator.authority.issue_site(csr, "hospital-a", server.coordinator.now)
    server.refuse = (200, {"certificate": issued.pem.decode()})
    assert site("up", kit=kit(server)) == 2
    assert "another key" in capfd.readouterr().err
    assert not (scratch / "site.pem").exists()


@pytest.mark.parametrize("when", ["joining", "later"])
def test_a_server_that_is_gone_for_good_is_given_up(serve, kit, site, capfd, events, when: str) -> None:
    server = serve()
    if when == "joining":
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            folder = kit(SimpleNamespace(url=f"https://127.0.0.1:{closed.getsockname()[1]}"))
            assert site("up", kit=folder, give_up=0.5) == 2
    else:
        closing = after(server, is_joined, lambda: server.transport.close(over=False))
        assert site("up", kit=kit(server), give_up=1) == 2
        closing.join()
    said = capfd.readouterr().err
    causes = [event["cause"] for event in events() if event["event"] == "disconnected"]
    assert "Connection refused" in causes
    assert "The server was out of reach for" in said
    assert "Ask the coordinator" in said


def test_a_site_says_where_it_stands_with_its_heartbeats(serve, kit, site) -> None:
    server = serve()
    closing = after(server, lambda event: isinstance(event, Progressed), server.transport.close)
    assert site("up", kit=kit(server)) == 0
    closing.join()


# -- approval ----------------------------------------------------------------------------------


def started(site: Any, server: Server, folder: Path) -> int:
    closing = after(server, is_joined, lambda: server.transport.expel("hospital-a"))
    code = site("up", kit=folder)
    closing.join(0.1)
    return int(code)


OTHER_IMAGE = {"image": "registry.example.org/study@" + digest(b"another image"), "serial": 2}
LOOSER = {"policy": ReleasePolicy(min_examples=1), "serial": 2}
STRICTER = {"policy": ReleasePolicy(min_examples=50), "serial": 2}


@pytest.mark.parametrize("fields", [OTHER_IMAGE, LOOSER])
def test_another_image_or_a_looser_policy_needs_approval(serve, kit, site, capfd, scratch, fields) -> None:
    server = serve()
    started(site, server, kit(server))
    newer = kit(server, "newer", **fields)
    capfd.readouterr()
    assert site("up", kit=newer) == 4
    said = capfd.readouterr().err
    assert "NE407" in said
    assert "sh site approve" in said
    assert len(server.asked) == 1
    assert site("approve", "--format", "json", kit=newer) == 0
    shown = json.loads(capfd.readouterr().out)["data"]
    assert shown["slice"] == OURS
    started(site, server, newer)
    assert [event for event, _ in records(scratch)] == ["approved", "joined", "approved", "joined"]
    assert started(site, server, newer) != 4
    assert len(server.asked) == 2


def test_a_stricter_policy_needs_none(serve, kit, site, scratch) -> None:
    server = serve()
    started(site, server, kit(server))
    started(site, server, kit(server, "newer", **STRICTER))
    assert [event for event, _ in records(scratch)] == ["approved", "joined", "joined"]


def test_a_kit_of_another_coordinator_needs_approval(serve, kit, site, capfd, tmp_path) -> None:
    server = serve()
    started(site, server, kit(server))
    stranger = Coordinator(tmp_path / "stranger").kit(
        tmp_path / "newer", server=server.url, slice_digest=OURS
    )
    assert site("up", kit=stranger) == 4
    assert "signer" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--min-examples", "5"], "--min-examples is 10 or more"),
        (["--allow-messages"], "texts of errors may not"),
        (["--data", "/nowhere"], "/data:ro"),
        (["--set", "speed=1"], "no parameter 'speed'"),
        (["--share", "4/3"], "share 3 of 3"),
    ],
)
def test_own_options_only_tighten_what_the_kit_says(serve, kit, site, capfd, words, said) -> None:
    server = serve()
    assert site("up", *words, kit=kit(server)) == 4
    assert said in capfd.readouterr().err
    assert not server.asked


def test_a_kit_that_was_edited_is_refused_for_people_and_machines(serve, kit, site, capfd, events) -> None:
    folder = kit(serve())
    (folder / "compose.yml").write_text("services: {site: {privileged: true}}")
    assert site("up", "--format", "json", kit=folder) == 4
    out, err = capfd.readouterr()
    assert json.loads(out)["code"] == events()[-1]["code"] == "NE406"
    assert "compose.yml was edited" in err


def test_a_record_that_was_changed_is_refused(serve, kit, site, capfd, scratch) -> None:
    server = serve()
    folder = kit(server)
    started(site, server, folder)
    lines = (scratch / "receipts.jsonl").read_text()
    (scratch / "receipts.jsonl").write_text(lines.replace("approved", "Approved"))
    assert site("up", kit=folder) == 1
    assert "NE503" in capfd.readouterr().err


def test_a_full_disk_is_said_and_made_good(serve, kit, site, capfd, scratch) -> None:
    server = serve()
    folder = kit(server)
    (scratch / "site.pem.part").mkdir(parents=True)
    assert site("up", kit=folder) == 1
    said = capfd.readouterr().err
    assert "NE501" in said
    assert "Free disk space" in said
    (scratch / "site.pem.part").rmdir()
    assert started(site, server, folder) == 2
    assert [event for event, _ in records(scratch)] == ["approved", "joined"]
