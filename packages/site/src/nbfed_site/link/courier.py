"""One task in, one reply out, over the Fleet API; an interrupted transfer goes on where it stopped.

Touches of Flower that are not its public API:
    ``flwr.app.metadata.Metadata``; ``flwr.common.serde.message_to_proto``; ``flwr.proto``: the
    messages of ``fleet_pb2``, ``heartbeat_pb2``, ``message_pb2``, ``node_pb2``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flwr.app.metadata import Metadata
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    DeactivateNodeRequest,
    DeactivateNodeResponse,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest, SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from numpy.typing import NDArray

from nbfed_site.contracts import Arrays, BadInput, CannotConnect, RoundInput, rebuilt

from .fleet import FleetClient
from .pack import (
    CHUNK_BYTES,
    Slot,
    Wire,
    array_at,
    chunk_head,
    chunk_id,
    chunks_of,
    slots_from_json,
    slots_json,
    total_bytes,
)
from .records import Parcel, Run, content_of, open_parcel, parcel
from .refusals import NotRecognised, Unreachable

_THREADS = 2
_REFUSALS = 5
_UNSHARED = 2  # references to an object that nobody else holds, as sys.getrefcount counts them
_MIN_INTERVAL, _MAX_INTERVAL = 10.0, 1800.0  # what Flower accepts as the time between heartbeats


@dataclass(frozen=True, slots=True)
class Task:
    """A task as received; ``metadata`` is Flower's, of its message."""

    input: RoundInput
    metadata: Any
    nbytes: int


@dataclass(slots=True)
class Delivery:
    """A reply on its way. ``chunks`` are views of the arrays, by object id."""

    task_id: str
    parcel: Parcel
    chunks: Mapping[str, list[memoryview]]
    sent: int = 0
    refusals: int = 0


class Courier:
    """Carries tasks and replies for one node; holds what an interrupted download has brought so far."""

    def __init__(self, client: FleetClient, wire: Wire) -> None:
        self._client, self._wire = client, wire
        self._node: Node | None = None
        self._partial: tuple[str, NDArray[np.uint8], set[int]] | None = None
        self._unconfirmed: Task | None = None
        self._buffer = np.empty(0, np.uint8)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="transfer")

    def activate(self, heartbeat_seconds: float) -> bool:
        """Make this node active at the server, if it is not; whether that took a call."""
        if self._node is not None:
            return False
        request = ActivateNodeRequest(
            public_key=self._client.public_key, heartbeat_interval=_interval(heartbeat_seconds)
        )
        response = self._client.call("activate-node", request, ActivateNodeResponse)
        self._node = Node(node_id=response.node_id)
        return True

    def forget(self, error: Exception) -> None:
        """Take note that a call failed: a node that was not recognised has to be activated again."""
        if isinstance(error, NotRecognised):
            self._node = None

    def heartbeat(self, interval: float, timeout: float) -> bool:
        """One sign of life, if this node is active; whether the server took it."""
        if (node := self._node) is None:
            return False
        request = SendNodeHeartbeatRequest(node=node, heartbeat_interval=_interval(interval))
        if not self._client.call("send-node-heartbeat", request, SendNodeHeartbeatResponse, timeout).success:
            raise NotRecognised("the server did not accept a heartbeat")
        return True

    def leave(self) -> None:
        """Deactivate the node; a server out of reach is no matter."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._node is None:
            return
        try:
            request = DeactivateNodeRequest(node_id=self._node.node_id)
            self._client.call("deactivate-node", request, DeactivateNodeResponse, 1.0)
        except (CannotConnect, NotRecognised, Unreachable):
            pass

    def fetch(self) -> Task | None:
        """Wait for a task at the server and read it whole; None if none came for a while.

        The server gives a task once that was confirmed: where its answer is lost, the task is kept here.
        """
        node, task = self._active(), self._unconfirmed
        if task is None or task.metadata.dst_node_id != node.node_id:
            task = self._unconfirmed = self._read(node)
        if task is None:
            return None
        confirmation = ConfirmMessageReceivedRequest(
            node=node, run_id=task.metadata.run_id, message_object_id=task.metadata.message_id
        )
        self._client.call("confirm-message-received", confirmation, ConfirmMessageReceivedResponse)
        self._partial = self._unconfirmed = None
        return task

    def _read(self, node: Node) -> Task | None:
        answer = self._client.call("pull-messages", PullMessagesRequest(node=node), PullMessagesResponse)
        if not (answer.messages_list and answer.message_object_trees):
            return None
        metadata, tree = answer.messages_list[0].metadata, answer.message_object_trees[0]

        def ask(object_id: str) -> PullObjectRequest:
            return PullObjectRequest(node=node, run_id=metadata.run_id, object_id=object_id)

        header, run = open_parcel(tree, lambda object_id: self._client.pull_object(ask(object_id)))
        layout = header.pop("layout", None)
        task = task_of(header)
        if run is not None:
            task = replace(task, arrays=self._download(run, layout, ask))
        return Task(task, metadata, 0 if run is None else run.nbytes)

    def _download(self, run: Run, layout: Any, ask: Any) -> Arrays:
        slots = slots_from_json(layout)
        if total_bytes(slots) != run.nbytes:
            raise BadInput("The arrays of a task do not fit their layout.")
        if self._partial is None or self._partial[0] != run.object_id:
            self._partial = run.object_id, self._room(run.nbytes), set()
        _, buffer, done = self._partial

        def pull(position: int) -> None:
            start = position * CHUNK_BYTES
            target = buffer.data[start : start + CHUNK_BYTES]
            self._client.pull_chunk(ask(run.chunk_ids[position]), target)
            done.add(position)

        missing = [position for position in range(len(run.chunk_ids)) if position not in done]
        for _ in self._pool.map(pull, missing):
            pass
        return {slot.name: array_at(slot, buffer) for slot in slots}

    def _room(self, nbytes: int) -> NDArray[np.uint8]:
        """Memory for a task's arrays: that of the last task, unless somebody still holds its arrays."""
        if self._buffer.nbytes != nbytes or sys.getrefcount(self._buffer) > _UNSHARED:
            self._buffer = np.empty(nbytes, np.uint8)
        return self._buffer

    def pack(self, task: Task, header: dict[str, Any], arrays: Arrays | None) -> Delivery:
        """Cut a reply into objects and compute their ids."""
        slots: list[Slot] = []
        chunks = list(chunks_of(arrays or {}, self._wire, slots))
        ids = list(self._pool.map(chunk_id, chunks))
        if arrays is not None:
            header["layout"] = slots_json(slots)
        content = content_of(header, None if arrays is None else total_bytes(slots), ids)
        reply = parcel(_reply_to(task.metadata), content)
        return Delivery(task.input.task_id, reply, dict(zip(ids, chunks, strict=True)))

    def deliver(self, delivery: Delivery) -> int | None:
        """Send what the server lacks of a reply; the bytes sent, or None if it does not want it."""
        node, metadata = self._active(), delivery.parcel.message.metadata
        if metadata.src_node_id != node.node_id or delivery.refusals >= _REFUSALS:
            return None
        request = PushMessagesRequest(
            node=node,
            messages_list=[message_to_proto(delivery.parcel.message)],
            message_object_trees=[delivery.parcel.tree],
        )
        answer = self._client.call("push-messages", request, PushMessagesResponse)
        missing = set(answer.objects_to_push)
        if not missing:
            return delivery.sent or None

        def push(object_id: str) -> None:
            pieces = delivery.chunks.get(object_id)
            small = delivery.parcel.objects.get(object_id, b"")
            head = small if pieces is None else chunk_head(sum(map(len, pieces)))
            request = PushObjectRequest(
                node=node, run_id=metadata.run_id, object_id=object_id, session_id=answer.session_id
            )
            if not self._client.push_object(request, head, pieces or []):
                delivery.refusals += 1
                raise Unreachable("the server refused an object of the reply")
            delivery.sent += len(head) + sum(map(len, pieces or []))

        for object_id in delivery.parcel.objects:
            if object_id in missing:
                push(object_id)
        for _ in self._pool.map(push, [key for key in delivery.chunks if key in missing]):
            pass
        return delivery.sent

    def _active(self) -> Node:
        if self._node is None:
            raise NotRecognised("this site is not active")
        return self._node


def task_of(header: Mapping[str, Any]) -> RoundInput:
    """The task, without its arrays, that the header of a message states.

    Raises:
        BadInput: it states none.
    """
    try:
        return rebuilt(RoundInput, header)
    except TypeError as error:
        raise BadInput(f"A message states no task: {error}.") from error


def _interval(seconds: float) -> float:
    return min(max(seconds, _MIN_INTERVAL), _MAX_INTERVAL)


def _reply_to(task: Any) -> Metadata:
    created = time.time()
    return Metadata(
        run_id=task.run_id,
        message_id="",
        src_node_id=task.dst_node_id,
        dst_node_id=task.src_node_id,
        reply_to_message_id=task.message_id,
        group_id=task.group_id,
        created_at=created,
        ttl=task.created_at + task.ttl - created,
        message_type=task.message_type,
    )
