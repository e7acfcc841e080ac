"""A member whose certificate is good and whose intentions are not: the others train on, and nothing grows."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from flwr.common.serde import message_to_proto
from flwr.proto import fleet_pb2, heartbeat_pb2, message_pb2
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from nbfed_site.contracts import CannotConnect, RoundInput, RoundOutput, VersionSkew, output_header
from nbfed_site.link import fleet, records
from nbfed_site.link.courier import Delivery, Task, _reply_to
from nbfed_site.link.fleet import INSTANCE_HEADER, varint
from nbfed_site.link.pack import CHUNK_BYTES, chunk_id
from nbfed_site.link.refusals import NotRecognised, Unreachable
from notebook_federator.rounds.port import Failed, Joined, Lost, Replied

from .mutual import Light, Office, Served, closed_within, connect

MODEL = {"w": np.arange(9, dtype=np.float32)}


@dataclass
class Honest:
    """Site b, which answers task after task in a thread of its own; the ``slowest`` took so many seconds."""

    served: Served
    rounds: int = 0
    slowest: float = 0.0
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Honest":
        self.site = self.served.member("b").connect()
        threading.Thread(target=self._answer, daemon=True).start()
        self._asking = threading.Thread(target=self._ask, daemon=True)
        self._asking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._asking.join(30)
        assert not self._asking.is_alive(), "site b no longer gets through"

    def _answer(self) -> None:
        with suppress(CannotConnect, NotRecognised, Unreachable):  # the server has ended
            while True:
                self.site.answer()

    def _ask(self) -> None:
        while not self._end.is_set():
            began = time.monotonic()
            self.served.transport.send(RoundInput(f"b{self.rounds}", "train", 1, MODEL), ["b"])
            reply = self.served.until(lambda event: isinstance(event, Replied) and event.site == "b")
            self.served.transport.discard(reply)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.rounds += 1

    def goes_on(self) -> None:
        before, until = self.rounds, time.monotonic() + 30
        while self.rounds < before + 3:
            assert time.monotonic() < until, "site b no longer gets through"
            time.sleep(0.01)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(Office(tmp_path))
    yield made
    made.transport.close(over=False)


@pytest.fixture
def rogue(served: Served) -> Light:
    return served.member("a").connect()


def open_line(served: Served) -> ssl.SSLSocket:
    """A connection of site a, to be spoken over by hand."""
    return served.office.context("a").wrap_socket(connect(served.address), server_hostname="127.0.0.1")


def megabytes() -> int:
    return psutil.Process().memory_info().rss >> 20


def node_of(served: Served, site: str) -> Node:
    return Node(node_id=served.transport._desk.members[site].node_id)


def test_requests_that_do_not_wait_for_their_answers_are_not_queued(served: Served, rogue: Light) -> None:
    many = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 200_000
    before = megabytes()
    with Honest(served) as honest:
        for _ in range(4):
            with open_line(served) as line, suppress(OSError):
                line.sendall(many)
                assert closed_within(line, 10)
        honest.goes_on()
    assert megabytes() < before + 40


def test_a_body_of_unknown_length_has_no_endless_trailer(served: Served, rogue: Light) -> None:
    before = megabytes()
    for path in (b"/", b"/v1/fleet/push-object"):
        with open_line(served) as line:
            line.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
            assert line.recv(100).startswith(b"HTTP/1.1 411")
            with suppress(OSError):
                for _ in range(20_000):
                    line.sendall((b"x-trailer: " + b"y" * 88 + b"\r\n") * 50)
    assert megabytes() < before + 40


def test_pieces_of_one_byte_cost_what_they_are_worth(served: Served, rogue: Light) -> None:
    """Each is a TLS record of its own: fields that never end, and a content that comes in crumbs."""
    head = message_pb2.PushObjectRequest(node=node_of(served, "a"), object_id="0" * 64, session_id="s")
    begun = head.SerializeToString()
    bodies = (b"\x08\x00" * 30_000, begun + b"\x22" + varint(1 << 20) + bytes(1 << 20))
    lines = [open_line(served) for _ in range(8)]
    before = megabytes()
    with Honest(served) as honest:
        for number, line in enumerate(lines):
            names = "\r\n".join(f"{name}: {value}" for name, value in rogue.client._headers().items())
            body = bodies[number % 2]
            line.sendall(
                f"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\n{names}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
            )
        until = time.monotonic() + 4
        for place in range(1 << 16):
            for number, line in enumerate(lines):
                with suppress(OSError):
                    line.sendall(bodies[number % 2][place : place + 1])
            if time.monotonic() > until:
                break
        honest.goes_on()
    assert honest.slowest < 3
    assert megabytes() < before + 60
    for line in lines:
        line.close()


def test_who_comes_and_goes_without_end_is_taken_for_away(served: Served, rogue: Light) -> None:
    request = fleet_pb2.ActivateNodeRequest(public_key=rogue.client.public_key, heartbeat_interval=10.0)
    leave = fleet_pb2.DeactivateNodeRequest(node_id=node_of(served, "a").node_id)
    with Honest(served) as honest:
        for number in range(150):
            rogue.client._fixed[INSTANCE_HEADER] = str(number)
            rogue.client.call("activate-node", request, fleet_pb2.ActivateNodeResponse)
        for _ in range(50):
            rogue.client.call("deactivate-node", leave, fleet_pb2.DeactivateNodeResponse)
            rogue.client.call("activate-node", request, fleet_pb2.ActivateNodeResponse)
        honest.goes_on()
    came = [event for event in served.observed if isinstance(event, Joined) and event.site == "a"]
    left = [event for event in served.observed if isinstance(event, Lost) and event.site == "a"]
    assert len(came) == 20
    assert len(left) <= 20
    assert served.transport._desk.members["a"].present is False


def test_what_a_site_says_cannot_command_a_terminal(served: Served, rogue: Light) -> None:
    task = task_for(served, rogue)
    words = "\x1b]0;owned\x07\x9b2J\u202e line 1\n\tline 2"
    failure = {"code": "NE601", "what": words, "where": words, "source": words}
    rogue.courier.deliver(rogue.courier.pack(task, {"failure": failure, "task_id": "t"}, None))
    found = served.until(lambda event: isinstance(event, Failed)).failure
    seen = "\ufffd]0;owned\ufffd\ufffd2J\ufffd line 1\n\tline 2"
    assert (found.what, found.where, found.source) == (seen, seen, seen)


def test_ever_other_versions_are_told_once(served: Served, rogue: Light) -> None:
    for number in range(20):
        rogue.client._fixed["nbfed-version"] = f"nbfed {number}"
        with pytest.raises(VersionSkew):
            rogue.courier.heartbeat(10.0, 5.0)
        rogue.client._fixed["nbfed-version"] = fleet.VERSIONS
        rogue.courier.heartbeat(10.0, 5.0)
    assert sum(isinstance(event, Failed) for event in served.observed) == 1


def task_for(served: Served, rogue: Light) -> Task:
    """A task of site a, fetched and confirmed."""
    served.transport.send(RoundInput("t", "train", 1, MODEL), ["a"])
    task = None
    while task is None:
        task = rogue.courier.fetch()
    return task


def announcement(served: Served, delivery: Delivery, tree: ObjectTree | None = None) -> Any:
    return fleet_pb2.PushMessagesRequest(
        node=node_of(served, "a"),
        messages_list=[message_to_proto(delivery.parcel.message)],
        message_object_trees=[tree or delivery.parcel.tree],
    )


def header() -> dict[str, Any]:
    return {"output": output_header(RoundOutput("t", "train", 1, num_examples=5))}


def test_an_announcement_has_the_objects_of_a_reply_and_stays_as_it_was(served: Served, rogue: Light) -> None:
    desk = served.transport._desk
    task = task_for(served, rogue)
    delivery = rogue.courier.pack(task, header(), MODEL)

    def announce(tree: ObjectTree) -> Any:
        request = announcement(served, delivery, tree)
        return rogue.client.call("push-messages", request, fleet_pb2.PushMessagesResponse)

    many = ObjectTree(object_id=delivery.parcel.tree.object_id)
    for number in range(5000):
        many.children.append(ObjectTree(object_id=f"{number:064x}"))
    before = len(desk.store)
    with pytest.raises(Unreachable, match="not the objects of a reply"):
        announce(many)
    assert len(desk.store) == before
    assert announce(delivery.parcel.tree).objects_to_push
    known = len(desk.store)
    for number in range(50):
        other = ObjectTree()
        other.CopyFrom(delivery.parcel.tree)
        other.children.append(ObjectTree(object_id=f"{number:064x}"))
        assert not announce(other).objects_to_push
        assert announce(delivery.parcel.tree).objects_to_push
    assert len(desk.store) == known
    assert len(desk._sessions) == 1
    assert len(desk.state._object_push_sessions) == 1
    rogue.courier.deliver(delivery)
    reply = served.until(lambda event: isinstance(event, Replied))
    assert np.array_equal(reply.output.arrays["w"], MODEL["w"])


def test_a_reply_that_was_taken_cannot_be_taken_back(served: Served, rogue: Light) -> None:
    task = task_for(served, rogue)
    delivery = rogue.courier.pack(task, header(), MODEL)
    rogue.courier.deliver(delivery)
    reply = served.until(lambda event: isinstance(event, Replied))
    request = message_pb2.ConfirmMessageReceivedRequest(
        node=node_of(served, "a"),
        run_id=served.transport._desk.run_id,
        message_object_id=delivery.parcel.tree.object_id,
    )
    rogue.client.call("confirm-message-received", request, message_pb2.ConfirmMessageReceivedResponse)
    with Honest(served) as honest:  # whose replies would be written where that one lay
        honest.goes_on()
    assert np.array_equal(reply.output.arrays["w"], MODEL["w"])


def test_a_task_that_is_answered_unread_leaves_nothing(served: Served, rogue: Light) -> None:
    store = served.transport._desk.store
    for number in range(3):
        served.transport.send(RoundInput("t", "train", 1, MODEL | {"n": np.array(number)}), ["a"])
        (message,) = served.transport._desk.state.message_ins_store.values()
        task = Task(RoundInput("t", "train", 1), message.metadata, 0)
        rogue.courier.deliver(rogue.courier.pack(task, header(), MODEL))
        served.transport.discard(served.until(lambda event: isinstance(event, Replied)))
        served.transport.cancel("t")
        assert len(store) == 0
    assert len(list(store.folder.glob("*.run"))) <= store.spares


def deliver(served: Served, rogue: Light, delivery: Delivery, small: dict[str, bytes]) -> None:
    """Send a reply of which some chunks are no chunks."""
    if not small:
        rogue.courier.deliver(delivery)
        return
    answer = rogue.client.call(
        "push-messages", announcement(served, delivery), fleet_pb2.PushMessagesResponse
    )
    for object_id, data in (delivery.parcel.objects | small).items():
        request = message_pb2.PushObjectRequest(
            node=node_of(served, "a"),
            run_id=served.transport._desk.run_id,
            object_id=object_id,
            session_id=answer.session_id,
        )
        rogue.client.push_object(request, data, [])


def hollow(task: Task) -> tuple[Delivery, dict[str, bytes]]:
    """In the place of its only chunk stands an object of another kind."""
    note = b"nothing"
    ids = [sha256(note).hexdigest()]
    content = records.content_of({**header(), "layout": [["w", "<f4", [9], ""]]}, 36, ids)
    return Delivery("t", records.parcel(_reply_to(task.metadata), content), {}), {ids[0]: note}


def too_short(task: Task) -> tuple[Delivery, dict[str, bytes]]:
    """In the place of a long chunk stands the short one that came with the task: it need not be sent."""
    chunk = MODEL["w"].view(np.uint8).data
    nbytes = CHUNK_BYTES + chunk.nbytes
    ids = [chunk_id([chunk])] * 2
    layout = [["w", "<f4", [nbytes // 4], ""]]
    content = records.content_of({**header(), "layout": layout}, nbytes, ids)
    return Delivery("t", records.parcel(_reply_to(task.metadata), content), {ids[0]: [chunk]}), {}


@pytest.mark.parametrize("make", [hollow, too_short])
def test_a_reply_without_its_bytes_is_a_failure_of_its_site(
    served: Served, rogue: Light, make: Callable[[Task], tuple[Delivery, dict[str, bytes]]]
) -> None:
    delivery, small = make(task_for(served, rogue))
    deliver(served, rogue, delivery, small)
    event = served.until(lambda event: isinstance(event, Failed | Replied))
    assert isinstance(event, Failed)
    assert "no chunk of its length" in event.failure.what


@pytest.mark.parametrize(
    "layout",
    [
        [["w", "|S0", [5], ""], ["v", "<f4", [9], ""]],
        [["w", "<f4", [0, 1 << 70], ""], ["v", "<f4", [9], ""]],
        [["w", "<f4", [1] * 100 + [9], ""]],
        [["w", "f4", [9], ""]],
        [["w", None, [9], ""]],
        {"w": 1},
        "w",
    ],
)
def test_a_layout_that_no_array_has_is_a_failure_of_its_site(
    served: Served, rogue: Light, layout: Any
) -> None:
    task = task_for(served, rogue)
    chunk = MODEL["w"].view(np.uint8).data
    ids = [chunk_id([chunk])]
    content = records.content_of({**header(), "layout": layout}, 36, ids)
    rogue.courier.deliver(Delivery("t", records.parcel(_reply_to(task.metadata), content), {ids[0]: [chunk]}))
    event = served.until(lambda event: isinstance(event, Failed | Replied))
    assert isinstance(event, Failed), list(event.output.arrays.items())


def test_a_flood_of_each_call_leaves_the_others_their_server(served: Served, rogue: Light) -> None:
    """Sixteen connections of one member ask without a pause; a seventeenth costs the first."""
    node, run_id = node_of(served, "a"), served.transport._desk.run_id
    calls = {
        "pull-messages": fleet_pb2.PullMessagesRequest(node=node),
        "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest(node=node, heartbeat_interval=10.0),
        "push-messages": fleet_pb2.PushMessagesRequest(node=node),
        "pull-object": message_pb2.PullObjectRequest(node=node, run_id=run_id, object_id="0" * 64),
        "push-object": message_pb2.PushObjectRequest(node=node, run_id=run_id, object_id="0" * 64),
        "confirm-message-received": message_pb2.ConfirmMessageReceivedRequest(node=node, run_id=run_id),
        "activate-node": fleet_pb2.ActivateNodeRequest(
            public_key=rogue.client.public_key, heartbeat_interval=10.0
        ),
    }
    end, asked = threading.Event(), [0]

    def flood(name: str, request: Any) -> None:
        light = Light(served, "a")
        while not end.is_set():
            with suppress(NotRecognised, Unreachable, CannotConnect, OSError):
                light.client.call(name, request, message_pb2.PushObjectResponse, 5.0)
            asked[0] += 1

    before = megabytes()
    with Honest(served) as honest:
        honest.goes_on()
        alone = honest.rounds
        threads = [threading.Thread(target=flood, args=pair, daemon=True) for pair in list(calls.items()) * 3]
        for thread in threads:
            thread.start()
        time.sleep(6)
        honest.goes_on()
        end.set()
        for thread in threads:
            thread.join(15)
        assert honest.rounds > alone
    assert asked[0] > 100
    assert honest.slowest < 5
    assert megabytes() < before + 60


def test_long_polls_of_one_member_are_no_ones_place(served: Served, rogue: Light) -> None:
    lights = [Light(served, "a") for _ in range(30)]
    request = fleet_pb2.PullMessagesRequest(node=node_of(served, "a"))

    def hold(light: Light) -> None:
        with suppress(NotRecognised, Unreachable, CannotConnect, OSError):
            light.client.call("pull-messages", request, fleet_pb2.PullMessagesResponse)

    threads = [threading.Thread(target=hold, args=(light,), daemon=True) for light in lights]
    with Honest(served) as honest:
        for thread in threads:
            thread.start()
        time.sleep(1)
        honest.goes_on()
    assert honest.slowest < 3
    assert len(served.transport._server.guests._inside) <= 20
