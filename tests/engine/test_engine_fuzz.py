"""What a member that went bad can send: every call, malformed in many ways, while honest sites train."""

import asyncio
import contextlib
import http.client
import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import pytest
from flwr.common.serde import message_to_proto
from flwr.proto import fleet_pb2, heartbeat_pb2, message_pb2, node_pb2
from nbfed_site.contracts import (
    ArraySpec,
    CannotConnect,
    Evaluation,
    RoundInput,
    RoundOutput,
    SiteCard,
    canonical_json,
    output_header,
)
from nbfed_site.link import records
from nbfed_site.link.courier import Courier, Delivery, Task, _reply_to
from nbfed_site.link.fleet import FleetClient, connect, varint
from nbfed_site.link.pack import CHUNK_BYTES, chunk_head, chunk_id
from nbfed_site.link.refusals import NotRecognised, Unreachable
from notebook_federator.rounds.flower_body import Refusal, object_fields
from notebook_federator.rounds.flower_calls import REQUESTS
from notebook_federator.rounds.port import Failed, Replied

from .conftest import Federation

MODEL = {"w": np.random.default_rng(3).standard_normal(70_000).astype(np.float32)}
REFUSALS = {200, 400, 401, 403, 404, 408, 409, 411, 413, 426, 431}


@dataclass
class Training:
    """Sites a and b train one round after the other, in a thread of its own, until left."""

    federation: Any
    rounds: int = 0
    failures: list[Any] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Training":
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _train(self) -> None:
        transport = self.federation.transport
        while not self._end.is_set():
            task = RoundInput(f"honest-{self.rounds}", "train", self.rounds, MODEL)
            transport.send(task, ["a", "b"])
            for reply in self.federation.replies(2).values():
                assert np.array_equal(reply.output.arrays["w"], MODEL["w"] + 1)
                transport.discard(reply)
            self.rounds += 1
            self.failures = [item for item in self.federation.seen if isinstance(item, Failed)]
            self.federation.seen.clear()

    def goes_on(self) -> None:
        before, deadline = self.rounds, time.monotonic() + 30
        while self.rounds < before + 2:
            assert time.monotonic() < deadline, "honest sites no longer get through"
            time.sleep(0.01)


@dataclass
class Rogue:
    """Site c: a key that the server knows, and no manners."""

    federation: Any
    client: FleetClient
    answers: Counter[int] = field(default_factory=Counter)

    @property
    def node(self) -> node_pb2.Node:
        return node_pb2.Node(node_id=self.federation.transport._desk.members["c"].node_id)

    def connection(self) -> http.client.HTTPConnection:
        return connect(self.client._server, self.client._context, 20.0)

    def post(self, name: str, body: bytes, **headers: str) -> int:
        """Send ``body`` as one signed call; the status of the answer."""
        connection = self.connection()
        try:
            connection.request("POST", f"/v1/fleet/{name}", body, {**self.client._headers(), **headers})
            response = connection.getresponse()
            response.read()
        except (http.client.HTTPException, OSError):
            self.answers[0] += 1
            return 0  # hung up on
        finally:
            connection.close()
        self.answers[response.status] += 1
        return response.status

    def courier(self) -> Courier:
        """What carries this site's messages, once its node is active."""
        request = fleet_pb2.ActivateNodeRequest(public_key=self.client.public_key, heartbeat_interval=10.0)
        self.client.call("activate-node", request, fleet_pb2.ActivateNodeResponse)
        courier = Courier(self.client, "fp32")
        courier._node = self.node
        return courier

    def announcement(self, delivery: Delivery) -> Any:
        return fleet_pb2.PushMessagesRequest(
            node=self.node,
            messages_list=[message_to_proto(delivery.parcel.message)],
            message_object_trees=[delivery.parcel.tree],
        )

    def requests(self) -> dict[str, Any]:
        """One well-formed request of each call, about a task that is under way to c."""
        courier, node = self.courier(), self.node
        self.federation.transport.send(RoundInput("bait", "train", 1, MODEL), ["c"])
        task = courier.fetch()
        assert task is not None
        output = {"task_id": "bait", "kind": "train", "round": 1}
        delivery = courier.pack(task, {"output": output}, {"w": MODEL["w"] * 2})
        some_id, some_object = next(iter(delivery.parcel.objects.items()))
        about = {"node": node, "run_id": task.metadata.run_id}
        return {
            "activate-node": fleet_pb2.ActivateNodeRequest(
                public_key=self.client.public_key, heartbeat_interval=10.0
            ),
            "deactivate-node": fleet_pb2.DeactivateNodeRequest(node_id=node.node_id),
            "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest(node=node, heartbeat_interval=10),
            "pull-messages": fleet_pb2.PullMessagesRequest(node=node),
            "push-messages": self.announcement(delivery),
            "confirm-message-received": message_pb2.ConfirmMessageReceivedRequest(
                **about, message_object_id=task.metadata.message_id
            ),
            "pull-object": message_pb2.PullObjectRequest(**about, object_id=some_id),
            "push-object": message_pb2.PushObjectRequest(
                **about, object_id=some_id, session_id="s", object_content=some_object
            ),
        }


@pytest.fixture(scope="module")
def under_fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rogue, Training]]:
    federation = Federation(tmp_path_factory.mktemp("fuzz"))

    def plus_one(task: RoundInput) -> RoundOutput:
        return RoundOutput(task.task_id, task.kind, task.round, 5, arrays={"w": task.arrays["w"] + 1})

    federation.start(plus_one, names=["a", "b"])
    client = FleetClient(federation.transport.address, federation.folder / "c.pem", None)
    with Training(federation) as training:
        yield Rogue(federation, client), training
    assert training.rounds > 5
    federation.close()


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is sent, the server has expected it."""
    caplog.set_level(logging.WARNING)
    yield
    assert "Traceback" not in caplog.text
    assert "a Fleet call failed" not in caplog.text


Change = Callable[[bytearray, random.Random], None]


def flip(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.randint(1, 4)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def drop(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    del data[at : at + dice.randint(1, 20)]


def double(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    data[at:at] = data[at : at + dice.randint(1, 200)] * dice.randint(1, 50)


def noise(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    data[at:at] = dice.randbytes(dice.randint(1, 64))


def length(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    data[at : at + 1] = dice.choice((b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\x00", b"\x80" * 12))


CHANGES: tuple[Change, ...] = (flip, cut, drop, double, noise, length)


def mutated(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        if changed:
            dice.choice(CHANGES)(changed, dice)
    return bytes(changed)


TEXTS = ("", "0" * 64, "f" * 64, "x" * 5000, "../../etc/passwd", "\0", "train", "query.stop", "1e999")
NUMBERS = (0, 1, -1, 7, 2**31, 2**63 - 1, 2**64 - 1)


def changed(message: Any, dice: random.Random) -> Any:
    """``message`` with some of its fields, at any depth, set to what they should not be."""
    whole = type(message)()
    whole.CopyFrom(message)
    for _ in range(dice.randint(1, 3)):
        part = whole
        while True:
            field = dice.choice(part.DESCRIPTOR.fields)
            inner = field.type == field.TYPE_MESSAGE
            if inner and not field.is_repeated and dice.random() < 0.9:
                part = getattr(part, field.name)
            elif inner and field.is_repeated and len(getattr(part, field.name)) and dice.random() < 0.9:
                part = dice.choice(getattr(part, field.name))
            else:
                break
        _spoil(part, field, dice)
    return whole


def _spoil(part: Any, field: Any, dice: random.Random) -> None:
    value = getattr(part, field.name)
    if dice.random() < 0.2:
        part.ClearField(field.name)
    elif field.is_repeated and field.type == field.TYPE_MESSAGE:
        if field.message_type.GetOptions().map_entry:
            return
        for _ in range(dice.choice((1, 2, 30))):
            value.add().MergeFrom(dice.choice(value))
    elif field.is_repeated:
        value.extend(dice.choices(TEXTS, k=5) if field.type == field.TYPE_STRING else [])
    elif field.type == field.TYPE_STRING:
        setattr(part, field.name, dice.choice(TEXTS))
    elif field.type == field.TYPE_BYTES:
        setattr(part, field.name, dice.randbytes(dice.choice((0, 1, 64, 3000))))
    elif field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
        setattr(part, field.name, dice.choice((0.0, -1.0, 1e300, float("nan"), float("inf"))))
    elif field.type != field.TYPE_MESSAGE:
        with contextlib.suppress(ValueError):
            setattr(part, field.name, dice.choice(NUMBERS))


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_spoiled_requests_are_refused_and_nothing_else_happens(
    under_fire: tuple[Rogue, Training], name: str
) -> None:
    rogue, training = under_fire
    whole = rogue.requests()[name]
    data, dice = whole.SerializeToString(), random.Random(name)
    for _ in range(3 if name == "pull-messages" else 200):  # a sound call for messages waits for one
        assert rogue.post(name, mutated(data, dice)) in REFUSALS | {0}
        assert rogue.post(name, changed(whole, dice).SerializeToString()) in REFUSALS | {0}
    training.goes_on()
    assert not training.failures


WEIRD = (None, True, -1, 0, 1e400, float("nan"), 10**30, "x", "\ud800", [], {}, [[]], {"a": {"b": []}},
         "x" * 3000, "NE601", [1, 2, 3], {"loss": "a"})  # fmt: skip


def spoiled(value: Any, dice: random.Random) -> Any:
    """JSON ``value`` with something in it, at any depth, that should not be there."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        name = dice.choice(list(value))
        if dice.random() < 0.1:
            return {key: item for key, item in value.items() if key != name}
        if dice.random() < 0.1:
            return {**value, dice.choice(("extra", "loss")): dice.choice(WEIRD)}
        return {**value, name: spoiled(value[name], dice)}
    if isinstance(value, list) and value and dice.random() < 0.8:
        place = dice.randrange(len(value))
        return [spoiled(item, dice) if at == place else item for at, item in enumerate(value)]
    return dice.choice(WEIRD)


def reply_header(task_id: str, dice: random.Random) -> dict[str, Any]:
    if dice.random() < 0.2:
        words = dict.fromkeys(("what", "where", "source", "exception", "hint"), "words")
        return {"failure": {"code": "NE601", **words}, "task_id": task_id}
    evaluation = Evaluation(10, {"loss": 1.0}, ((1, 2), (3, 4)), ("a", "b"), ("w",))
    card = SiteCard({"train": 5}, {"train": {"a": 5}}, {"train": 0}, (ArraySpec("w", (70_000,), "float32"),))
    output = RoundOutput(task_id, "train", 1, 5, {"loss": 1.0}, evaluation, None, None, card, {"train": 1.0})
    return {"output": output_header(output)}


@pytest.fixture
def alone(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rogue]:
    """A federation of one site, the rogue, which may write any JSON."""
    monkeypatch.setattr(records, "canonical_json", lambda value: json.dumps(value).encode())
    federation = Federation(tmp_path, names=("c",))
    yield Rogue(federation, FleetClient(federation.transport.address, tmp_path / "c.pem", None))
    federation.close()


def push_all(rogue: Rogue, task: Task, delivery: Delivery, request: Any, dice: random.Random | None) -> None:
    """Announce a reply and send its objects; some of them spoiled, where there are dice."""
    try:
        answer = rogue.client.call("push-messages", request, fleet_pb2.PushMessagesResponse)
    except (Unreachable, NotRecognised, CannotConnect):
        return
    missing = set(answer.objects_to_push)
    for object_id in [*(key for key in delivery.parcel.objects if key in missing), *delivery.chunks]:
        pieces = delivery.chunks.get(object_id, [])
        data = delivery.parcel.objects.get(object_id) or chunk_head(sum(map(len, pieces))) + b"".join(pieces)
        if dice and dice.random() < 0.3:
            data = mutated(data, dice)
        request = message_pb2.PushObjectRequest(
            node=rogue.node, run_id=task.metadata.run_id, object_id=object_id, session_id=answer.session_id
        )
        body = request.SerializeToString() + b"\x22" + varint(len(data)) + data
        assert rogue.post("push-object", body) in REFUSALS


def test_spoiled_replies_come_out_sound_or_as_failures_and_leave_nothing(alone: Rogue) -> None:
    transport, courier, dice = alone.federation.transport, alone.courier(), random.Random(7)
    kinds: Counter[str] = Counter()
    size = Size.of(transport)
    for number in range(400):
        transport.send(RoundInput(f"t{number}", "train", 1, MODEL), ["c"])
        task = courier.fetch()
        assert task is not None
        header, mode = reply_header(f"t{number}", dice), dice.choice(("header", "message", "objects"))
        if mode == "header":
            header = {name: spoiled(value, dice) for name, value in header.items()}
        delivery = courier.pack(task, header, {"w": MODEL["w"] * 2})
        request = alone.announcement(delivery)
        if mode == "message":
            request = changed(request, dice)
        push_all(alone, task, delivery, request, dice if mode == "objects" else None)
        for event in transport.events(0.0):
            kinds[type(event).__name__] += 1
            if isinstance(event, Replied):
                canonical_json(output_header(event.output))
                transport.discard(event)
        transport.cancel(f"t{number}")
    assert kinds["Replied"] > 20
    assert kinds["Failed"] > 50
    assert Size.of(transport).grown_since(size) == []


@dataclass(frozen=True)
class Size:
    """What a server holds."""

    objects: int
    replies: int
    sessions: int
    descriptors: int
    megabytes: int

    @classmethod
    def of(cls, transport: Any) -> "Size":
        process, desk = psutil.Process(), transport._desk
        kept = len(desk.store), len(desk.state.message_res_store), len(desk.state._object_push_sessions)
        return cls(*kept, process.num_fds(), process.memory_info().rss >> 20)

    def grown_since(self, other: "Size") -> list[str]:
        slack = {"objects": 20, "replies": 2, "sessions": 20, "descriptors": 20, "megabytes": 60}
        return [
            f"{name}: {getattr(other, name)} -> {getattr(self, name)}"
            for name, more in slack.items()
            if getattr(self, name) > getattr(other, name) + more
        ]


def test_fields_without_end_are_not_read_again_and_again() -> None:
    taken = 0

    async def crumbs() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1 << 17):
            taken += 1
            yield b"\x08" if taken % 2 else b"\x00"

    with pytest.raises(Refusal, match="not the protobuf"):
        asyncio.run(object_fields(crumbs()))
    assert taken < 2000


def test_a_few_bytes_cannot_announce_terabytes(alone: Rogue) -> None:
    courier = alone.courier()
    alone.federation.transport.send(RoundInput("t", "train", 1, MODEL), ["c"])
    task = courier.fetch()
    assert task is not None
    whole = np.zeros(CHUNK_BYTES, np.uint8)
    ids = [chunk_id([whole.data])] * 1000  # one chunk sent, a thousand written
    header = reply_header("t", random.Random(1))
    layout = [["w", "|u1", [1000 * CHUNK_BYTES], ""]]
    content = records.content_of({**header, "layout": layout}, 1000 * CHUNK_BYTES, ids)
    parcel = records.parcel(_reply_to(task.metadata), content)
    delivery = Delivery("t", parcel, {ids[0]: [whole.data]})
    push_all(alone, task, delivery, alone.announcement(delivery), None)
    spool = alone.federation.folder / "spool"
    assert sum(path.stat().st_blocks * 512 for path in spool.iterdir()) < 10 * CHUNK_BYTES
