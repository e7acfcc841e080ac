"""What goes wrong in a real federation: killed sites and servers, cancelled tasks, failing code."""

import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from flwr.server.superlink.linkstate import in_memory_linkstate
from flwr.supercore.corestate import in_memory_corestate
from nbfed_site.contracts import (
    CannotConnect,
    PortInUse,
    RoundInput,
    RoundOutput,
    SiteDataFailed,
    SiteFailure,
    StorageFull,
)
from nbfed_site.link import LinkSettings, generate_key, public_key, run
from nbfed_site.link.fleet import FleetClient
from nbfed_site.link.refusals import Unreachable
from notebook_federator.rounds.flower import FlowerTransport
from notebook_federator.rounds.port import Failed, Joined, Lost, Received, Replied


def echo(task: RoundInput) -> RoundOutput:
    return RoundOutput(task.task_id, task.kind, task.round, arrays=task.arrays)


def describe(error: BaseException) -> SiteFailure:
    return SiteFailure("NE601", str(error))


MODEL = {"w": np.random.default_rng(5).standard_normal(200_000).astype(np.float32)}


def is_joined(site: str) -> Any:
    return lambda event: isinstance(event, Joined) and event.site == site


def test_a_site_killed_in_mid_task_comes_back_as_another_instance(federate: Any) -> None:
    federation = federate(names=("a",))
    process = federation.spawn("a", "hang once")
    first = federation.wait(is_joined("a"))
    task = RoundInput("t", "train", 1, MODEL)
    federation.transport.send(task, ["a"])
    federation.wait(lambda event: isinstance(event, Received))
    while not (federation.folder / "a.began").exists():
        time.sleep(0.02)
    process.kill()
    federation.spawn("a", "hang once")
    second = federation.wait(is_joined("a"))
    assert second.instance != first.instance
    federation.transport.send(task, ["a"])
    reply = federation.replies(1)["a"]
    assert np.array_equal(reply.output.arrays["w"], MODEL["w"])


def test_a_killed_site_is_lost_and_one_that_leaves_is_lost_at_once(federate: Any) -> None:
    federation = federate(names=("a", "b"), heartbeat=0.3)
    killed = federation.spawn("a")
    federation.start(names=["b"])
    federation.wait(is_joined("a"))
    federation.stop.set()
    federation.wait(lambda event: isinstance(event, Lost) and event.site == "b")
    killed.kill()
    federation.wait(lambda event: isinstance(event, Lost) and event.site == "a")


def test_sites_outlive_their_server_and_find_the_next_one(federate: Any) -> None:
    federation = federate(names=("a",))
    process = federation.spawn("a", "slow")
    instance = federation.wait(is_joined("a")).instance
    federation.transport.send(RoundInput("old", "train", 1, MODEL), ["a"])
    federation.wait(lambda event: isinstance(event, Received))
    federation.port = int(federation.transport.address.rpartition(":")[2])
    federation.transport._server.should_exit = True  # as if killed: nobody is told to stop
    federation.transport._server.force_exit = True
    federation.transport._threads[0].join(timeout=10)
    federation.transport = federation.new_transport()
    assert federation.wait(is_joined("a")).instance == instance  # by a heartbeat, while it works
    (federation.folder / "go on").touch()
    federation.transport.send(RoundInput("new", "train", 1, MODEL), ["a"])
    assert federation.replies(1)["a"].output.task_id == "new"
    process.kill()
    lines = process.communicate()[0]
    assert "a disconnected" in lines
    assert "a dropped {'task_id': 'old'" in lines
    assert not any(isinstance(event, Replied) and event.output.task_id == "old" for event in federation.seen)


SERVER = """
import sys
from pathlib import Path
from nbfed_site.link import public_key
from notebook_federator.rounds.flower import FlowerTransport
folder = Path(sys.argv[1])
keys = {"a": public_key(folder / "a.pem")}
transport = FlowerTransport("127.0.0.1", int(sys.argv[2]), keys, folder / "spool")
print(transport.address, flush=True)
for _ in range(600):
    for event in transport.events(0.5):
        print(type(event).__name__, flush=True)
"""


def test_a_server_killed_and_started_again_has_its_site_back(federate: Any, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    generate_key(folder / "a.pem")
    stop, told = threading.Event(), []
    port = "0"
    for _ in range(2):
        command = [sys.executable, "-c", SERVER, str(folder), port]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        if port == "0":
            settings = LinkSettings(address, "a", folder / "a.pem", give_up_seconds=30)
            arguments = (settings, echo, stop, lambda kind, facts: told.append(kind), describe)
            site = threading.Thread(target=run, args=arguments, daemon=True)
            site.start()
        port = address.rpartition(":")[2]
        assert server.stdout.readline().strip() == "Joined"
        server.kill()
        server.communicate()
    stop.set()
    site.join(timeout=10)
    assert not site.is_alive()
    assert told.count("connected") == 2
    assert "disconnected" in told


def test_a_task_whose_confirmation_is_not_answered_is_done_all_the_same(
    federate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, lost, call = federate(names=("a",)), [], FleetClient.call

    def losing(client: FleetClient, name: str, *more: Any) -> Any:
        answer = call(client, name, *more)
        if name == "confirm-message-received" and len(lost) < 2:
            lost.append(name)
            raise Unreachable("the answer was lost on its way")
        return answer

    monkeypatch.setattr(FleetClient, "call", losing)
    federation.start()
    federation.transport.send(RoundInput("t", "train", 1, MODEL), ["a"])
    assert federation.replies(1)["a"].output.task_id == "t"
    assert len(lost) == 2


def test_a_cancelled_task_is_never_begun_and_late_replies_are_dropped(federate: Any) -> None:
    federation = federate(names=("a",))
    go_on, begun = threading.Event(), []

    def handle(task: RoundInput) -> RoundOutput:
        begun.append(task.task_id)
        go_on.wait(30)
        return RoundOutput(task.task_id, task.kind, task.round, arrays=task.arrays)

    federation.start(handle)
    federation.transport.send(RoundInput("late", "train", 1, MODEL), ["a"])
    federation.wait(lambda event: isinstance(event, Received))
    federation.transport.send(RoundInput("never", "train", 2, MODEL), ["a"])
    federation.transport.cancel("never")
    federation.transport.cancel("late")
    federation.transport.send(RoundInput("last", "train", 3, MODEL), ["a"])
    go_on.set()
    assert federation.replies(1)["a"].output.task_id == "last"
    assert begun == ["late", "last"]
    assert ("a", "dropped") in [(name, kind) for name, kind, _ in federation.told]


@pytest.mark.parametrize("error", [ValueError("boom"), SiteDataFailed("no rows")])
def test_what_a_task_raises_becomes_a_failure_and_the_site_goes_on(
    federate: Any, error: BaseException
) -> None:
    federation = federate(names=("a",))

    def handle(task: RoundInput) -> RoundOutput:
        if task.task_id == "bad":
            raise error
        if task.task_id == "unsendable":
            return RoundOutput(task.task_id, task.kind, task.round, arrays={"w": np.array([{}], object)})
        return RoundOutput(task.task_id, task.kind, task.round)

    federation.start(handle)
    for task_id, text in (("bad", str(error)), ("unsendable", "cannot be sent")):
        federation.transport.send(RoundInput(task_id, "train", 1, MODEL), ["a"])
        failed = federation.wait(lambda event: isinstance(event, Failed))
        assert failed.task_id == task_id
        assert text in failed.failure.what
    federation.transport.send(RoundInput("good", "train", 1), ["a"])
    assert federation.replies(1)["a"].output.task_id == "good"


def test_a_reply_to_another_task_is_a_failure(federate: Any) -> None:
    federation = federate(names=("a",))
    federation.start(lambda task: RoundOutput("other", task.kind, task.round))
    federation.transport.send(RoundInput("t", "train", 1), ["a"])
    failed = federation.wait(lambda event: isinstance(event, Failed))
    assert "another task" in failed.failure.what


def test_nothing_is_left_after_discard(federate: Any) -> None:
    federation = federate()
    federation.start(
        lambda task: RoundOutput(task.task_id, task.kind, task.round, arrays={"w": MODEL["w"] * 2})
    )
    store, sizes = federation.transport._desk.store, []
    for number in range(5):
        federation.transport.send(RoundInput(f"t{number}", "train", number, MODEL), ["a", "b", "c"])
        for reply in federation.replies(3).values():
            federation.transport.discard(reply)
        sizes.append((len(store), len(list((federation.folder / "spool").iterdir()))))
    assert sizes[1:] == [sizes[1]] * 4
    assert not federation.transport._desk.state.message_ins_store
    assert not federation.transport._desk.state._object_push_sessions
    federation.transport.close()
    assert not (federation.folder / "spool").exists()


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Let no file of this process grow beyond so many bytes: writing then fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_a_reply_is_a_failure_that_says_so(federate: Any, small_files: Any) -> None:
    federation = federate(names=("a",))
    large = {"w": np.random.default_rng(6).standard_normal(2_000_000)}
    federation.start(lambda task: RoundOutput(task.task_id, task.kind, task.round, arrays=large))
    small_files(4_000_000)
    federation.transport.send(RoundInput("t", "train", 1, MODEL), ["a"])
    failed = federation.wait(lambda event: isinstance(event, Failed))
    assert (failed.task_id, failed.failure.code) == ("t", StorageFull.code)
    assert "spool" in failed.failure.hint
    with pytest.raises(StorageFull, match="could not be written"):
        federation.transport.send(RoundInput("t2", "train", 1, large), ["a"])
    large.clear()
    federation.transport.send(RoundInput("t3", "train", 1, MODEL), ["a"])
    assert federation.replies(1)["a"].output.task_id == "t3"


def test_close_stops_the_sites(federate: Any) -> None:
    federation = federate()
    federation.start()
    begun = time.monotonic()
    federation.transport.close()
    assert time.monotonic() - begun < 10
    for thread in federation.threads:
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert {name for name, kind, _ in federation.told if kind == "stopped"} == {"a", "b", "c"}


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match="in use") as caught:
            FlowerTransport("127.0.0.1", port, {}, tmp_path / "spool")
    assert str(port) in caught.value.where


def test_a_server_that_never_comes_is_reported_and_given_up(tmp_path: Path) -> None:
    key, told = tmp_path / "a.pem", []
    generate_key(key)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = LinkSettings(address, "a", key, give_up_seconds=0.5)
    with pytest.raises(CannotConnect, match="out of reach"):
        run(
            settings,
            lambda task: None,
            threading.Event(),
            lambda *event: told.append(event),
            lambda error: None,
        )
    assert all("refused" in facts["cause"] and facts["retry_seconds"] > 0 for _, facts in told)
    assert len(told) >= 2


def test_site_processes_talk_to_their_server_only(federate: Any) -> None:
    federation = federate(names=("a",))
    process = federation.spawn("a")
    seen: set[Any] = set()
    federation.wait(is_joined("a"))
    for number in range(10):
        federation.transport.send(RoundInput(f"t{number}", "train", number, MODEL), ["a"])
        seen |= {(item.raddr, item.status) for item in psutil.Process(process.pid).net_connections("inet")}
        federation.transport.discard(federation.replies(1)["a"])
    port = int(federation.transport.address.rpartition(":")[2])
    assert {address[0] for address in seen} == {("127.0.0.1", port)}
    assert "LISTEN" not in {status for _, status in seen}


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    public = generate_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_key(path) == public
    with pytest.raises(Exception, match="already"):
        generate_key(path)
    path.write_text("no key")
    with pytest.raises(Exception, match="cannot be read"):
        public_key(path)


def test_a_machine_that_slept_for_a_day_goes_on(federate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whose clock was a day late, and is set right in mid-run."""
    federation = federate(names=("a",))
    federation.start(echo)
    for number, days in enumerate((0, 1, 2)):
        for module in (in_memory_corestate, in_memory_linkstate):
            monkeypatch.setattr(module, "now", lambda days=days: datetime.now(UTC) + timedelta(days=days))
        federation.transport.send(RoundInput(str(number), "train", 1, MODEL), ["a"])
        (reply,) = federation.replies(1).values()
        assert np.array_equal(reply.output.arrays["w"], MODEL["w"])
        federation.transport.discard(reply)
