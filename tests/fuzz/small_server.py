"""A server of one site in this process, without a network: requests go straight to its HTTP application."""

import asyncio
import logging
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbfed_site.link  # noqa: F401 (before flwr: it keeps Flower from calling home)

# isort: split
from flwr.proto import fleet_pb2, message_pb2
from flwr.proto.node_pb2 import Node
from nbfed_site.contracts import RoundInput
from nbfed_site.keys import generate_key
from nbfed_site.link.fleet import SLICE_HEADER, VERSION_HEADER, VERSIONS, varint
from nbfed_site.link.records import content_of, objects_of
from notebook_federator.federation.authority import Identity
from notebook_federator.rounds.flower_calls import REQUESTS
from notebook_federator.rounds.flower_desk import SiteDesk
from notebook_federator.rounds.flower_server import FleetApp
from notebook_federator.rounds.mutual_tls import MutualTls
from notebook_federator.rounds.object_store import SpillingStore
from notebook_federator.rounds.port import Event

logging.getLogger("flwr").setLevel(logging.CRITICAL)  # as a server does
SLICE = "sha256:" + "5" * 64
_TEMPORARY = tempfile.TemporaryDirectory(prefix="nbfed-fuzz-")
REFUSALS = {400, 401, 403, 404, 408, 409, 411, 413, 426}


def new_folder() -> Path:
    """A folder that is gone when this process, or the one that it was forked from, ends."""
    return Path(tempfile.mkdtemp(dir=_TEMPORARY.name))


@dataclass
class SmallServer:
    """Site ``a`` has joined, and its node is active."""

    folder: Path = field(default_factory=new_folder)

    def __post_init__(self) -> None:
        self.key = generate_key(self.folder / "a.pem")
        self.store = SpillingStore(self.folder / "spool", 1)
        self.desk = SiteDesk(self.store, heartbeat_seconds=1e6)
        self.desk.closing = True  # a call for messages is answered at once
        self.desk.admit("a", self.key)
        self.node = Node(node_id=self.desk.members["a"].node_id)
        identity = Identity("site", "a", "", self.key, "1")
        none = Path()
        mutual = MutualTls(none, none, none, lambda der: identity, lambda visitor: "", SLICE)
        self.app = FleetApp(self.desk, mutual)
        self.loop = asyncio.new_event_loop()
        request = fleet_pb2.ActivateNodeRequest(public_key=self.key, heartbeat_interval=10.0)
        assert self.ask("activate-node", request.SerializeToString())[0] == 200

    def ask(self, name: str, body: bytes, piece: int = 1 << 16) -> tuple[int, bytes]:
        """One call of the site, in pieces of so many bytes; the status and body of the answer."""
        headers = {
            "content-length": str(len(body)).encode(),
            "flwr-public-key": b64encode(self.key),
            SLICE_HEADER: SLICE.encode(),
            VERSION_HEADER: VERSIONS.encode(),
            "nbfed-instance": b"1",
        }
        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/v1/fleet/{name}",
            "headers": [(key.encode(), value) for key, value in headers.items()],
            "state": {"certificate": b""},
        }
        pieces = [body[start : start + piece] for start in range(0, len(body), piece)] or [b""]
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            here = pieces.pop(0)
            return {"type": "http.request", "body": here, "more_body": bool(pieces)}

        async def send(event: Any) -> None:
            said.append(event)

        self.loop.run_until_complete(self.app(scope, receive, send))
        status = said[0]["status"]
        assert status == 200 or status in REFUSALS, (name, status, body[:200])
        return status, b"".join(event.get("body", b"") for event in said[1:])

    def adopted(self, name: str, body: bytes) -> bytes:
        """``body`` with the site's own ids in it, where it is a request at all."""
        request = REQUESTS[name]()
        request.ParseFromString(body)
        for field_name, value in {"node": self.node, "run_id": self.desk.run_id}.items():
            part = request.DESCRIPTOR.fields_by_name.get(field_name)
            if part is not None and part.message_type is not None:
                getattr(request, field_name).CopyFrom(value)
            elif part is not None:
                setattr(request, field_name, value)
        if name == "deactivate-node":
            request.node_id = self.node.node_id
        for message in getattr(request, "messages_list", ())[:1]:
            message.metadata.src_node_id, message.metadata.run_id = self.node.node_id, self.desk.run_id
            if request.message_object_trees:
                message.metadata.message_id = request.message_object_trees[0].object_id
            sent = next(iter(self.desk._sent), "")
            message.metadata.reply_to_message_id = sent
        if name != "push-object":
            return bytes(request.SerializeToString())
        content, request.object_content = request.object_content, b""
        request.session_id = next(iter(self.desk._sessions), "")
        return bytes(request.SerializeToString()) + b"\x22" + varint(len(content)) + content

    def send_task(self) -> Any:
        """Send site ``a`` a task; Flower's metadata of it."""
        task = RoundInput("t", "train", 1)
        content = content_of({"task_id": "t", "kind": "train", "round": 1, "config": {}}, None)
        tree, objects = objects_of(content)
        self.store.preregister(0, tree)
        for object_id, data in objects.items():
            self.store.put(object_id, data)
        self.desk.post(task, "a", content)
        (message,) = self.desk.state.message_ins_store.values()
        return message.metadata

    def push(self, request: Any, objects: Sequence[tuple[str, bytes]]) -> None:
        """Announce a reply and send those of its objects that the server lacks."""
        status, body = self.ask("push-messages", request.SerializeToString())
        if status != 200:
            return
        answer = fleet_pb2.PushMessagesResponse.FromString(body)
        for object_id, data in objects:
            if object_id in answer.objects_to_push:
                head = message_pb2.PushObjectRequest(
                    node=self.node, run_id=self.desk.run_id, object_id=object_id, session_id=answer.session_id
                )
                self.ask("push-object", head.SerializeToString() + b"\x22" + varint(len(data)) + data)

    def end_task(self) -> list[Event]:
        """What came of the task; nothing of it is left."""
        events = list(self.desk.events(0.0))
        self.desk.withdraw(lambda sent: True)
        for reply_id in self.desk._replies.values():
            self.store.delete(reply_id)
        self.desk._replies.clear()
        assert len(self.store) == 0
        state = self.desk.state
        left = (state.message_ins_store, state.message_res_store, state._object_push_sessions)
        assert [len(kept) for kept in left] == [0, 0, 0]
        assert not self.desk._sessions
        return events
