"""What each of Flower's Fleet calls does, once its sender is known.

Touches of Flower that are not its public API:
    ``flwr.superlink.servicer.fleet.fleet_handlers``: five handlers;
    ``flwr.proto``: ``fleet_pb2``, ``heartbeat_pb2``, ``message_pb2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from flwr.proto import fleet_pb2, heartbeat_pb2, message_pb2
from flwr.superlink.servicer.fleet import fleet_handlers
from nbfed_site.contracts import BadInput
from nbfed_site.link.fleet import varint
from nbfed_site.link.pack import chunk_head

from .flower_body import Answer, Call, Chunk, Refusal
from .flower_desk import SiteDesk
from .object_store import SpillingStore

REQUESTS: Mapping[str, Any] = {
    "activate-node": fleet_pb2.ActivateNodeRequest,
    "deactivate-node": fleet_pb2.DeactivateNodeRequest,
    "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest,
    "pull-messages": fleet_pb2.PullMessagesRequest,
    "push-messages": fleet_pb2.PushMessagesRequest,
    "confirm-message-received": message_pb2.ConfirmMessageReceivedRequest,
    "pull-object": message_pb2.PullObjectRequest,
    "push-object": message_pb2.PushObjectRequest,
}


def perform(desk: SiteDesk, call: Call, request: Any) -> Answer:
    """Have Flower's handler do what ``request`` asks for, and the desk take note of it.

    Raises:
        Refusal: it is none of this site's business, or not what a site asks.
        FlowerError: the handler does not do it.
    """
    state, store = desk.state, desk.store
    if getattr(request, "run_id", desk.run_id) != desk.run_id:
        raise Refusal(409, "another run")
    match call.name:
        case "activate-node":
            answer = fleet_handlers.activate_node(request=request, state=state)
            desk.activated(answer.node_id, call.instance)
        case "deactivate-node":
            answer = fleet_handlers.deactivate_node(request=request, state=state)
            desk.left(request.node_id)
        case "send-node-heartbeat":
            answer = fleet_handlers.send_node_heartbeat(request=request, state=state)
        case "pull-messages":
            answer = fleet_handlers.pull_messages(request=request, state=state, store=store)
        case "push-messages":
            answer = _reply(request, desk)
        case "confirm-message-received":
            desk.confirmed(request.node.node_id, request.message_object_id)
            answer = message_pb2.ConfirmMessageReceivedResponse()
        case _:
            return _pull(store, request.object_id)
    return cast(bytes, answer.SerializeToString())


def _reply(request: Any, desk: SiteDesk) -> Any:
    _check_reply(request, desk.run_id)
    try:
        return desk.replying(request, lambda: _push(request, desk.state))
    except BadInput as error:
        raise Refusal(400, error.what) from error


def _check_reply(request: Any, run_id: int) -> None:
    """Flower knows who calls, and to whom a task went, but does not compare the two."""
    if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
        raise Refusal(400, "one message at a time")
    metadata = request.messages_list[0].metadata
    if metadata.src_node_id != request.node.node_id:
        raise Refusal(403, "a reply in another site's name")
    if metadata.run_id != run_id:
        raise Refusal(409, "another run")
    if metadata.message_id != request.message_object_trees[0].object_id:
        raise Refusal(400, "the objects of another message")


def _push(request: Any, state: Any) -> Any:
    """Flower's handler; it raises what comes to hand on a message that Flower would not have made."""
    try:
        return fleet_handlers.push_messages(request=request, state=state)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Refusal(400, "not a message of this call") from error


def _pull(store: SpillingStore, object_id: str) -> Answer:
    if (place := store.chunk_at(object_id)) is not None:
        file, position = place
        head = chunk_head(file.length_at(position))
        opening = b"\x08\x01\x10\x01\x1a" + varint(len(head) + file.length_at(position)) + head
        return Chunk(opening, file, position)
    content = store.get(object_id)
    answer = message_pb2.PullObjectResponse(
        object_found=content is not None, object_available=bool(content), object_content=content or b""
    )
    return cast(bytes, answer.SerializeToString())
