"""Flower's link state for warm sites: nodes known by key, one run, messages delivered until confirmed.

It lives in memory: a link state on disk would bring back tasks of a process that is gone
(docs/adr/0009). What must survive the server is in ledgers and checkpoints; sites come back by their keys.

Touches of Flower that are not its public API:
    ``flwr.server.superlink.linkstate.InMemoryLinkState`` (subclassed: ``activate_node``,
    ``get_message_ins``, ``message_ins_store``, ``lock``, ``_cleanup_push_session``,
    ``_cleanup_expired_task_tokens_locked``, and the methods
    that are called on it);
    ``flwr.superlink.federation.NoOpFederationManager``;
    ``flwr.common.constant``: ``NOOP_FLWR_AID``, ``NOOP_ACCOUNT_NAME``, ``SUPERLINK_NODE_ID``;
    ``flwr.supercore.constant``: ``NOOP_FEDERATION_ID``, ``TaskType``; ``flwr.app.metadata.Metadata``.
"""

from __future__ import annotations

import time

from flwr.app import Message
from flwr.app.metadata import Metadata
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SUPERLINK_NODE_ID
from flwr.server.superlink.linkstate import InMemoryLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.superlink.federation import NoOpFederationManager
from nbfed_site.contracts import RoundInput

from .object_store import SpillingStore

_TASK_SECONDS = 30 * 24 * 3600.0


class SiteState(InMemoryLinkState):
    """Flower's link state, for sites that restart at once and connections that break in mid-answer."""

    def __init__(self, store: SpillingStore) -> None:
        super().__init__(NoOpFederationManager(), store)
        self.confirmed: set[str] = set()

    def activate_node(self, node_id: int, heartbeat_interval: float) -> bool:
        """Activate a node even if it is held for online: its process was killed and is back."""
        self.deactivate_node(node_id)
        return super().activate_node(node_id, heartbeat_interval)

    def get_message_ins(self, node_id: int, limit: int | None, *, run_id: int | None = None) -> list[Message]:
        """Messages for a node; one whose delivery was never confirmed is delivered again."""
        for message in self.open_messages(node_id):
            message.metadata.delivered_at = ""
        return super().get_message_ins(node_id, limit, run_id=run_id)

    def open_messages(self, node_id: int) -> list[Message]:
        """Messages that a node has not confirmed."""
        with self.lock:
            return [
                message
                for message_id, message in self.message_ins_store.items()
                if message.metadata.dst_node_id == node_id and message_id not in self.confirmed
            ]

    def _cleanup_expired_task_tokens_locked(self) -> None:
        """The run lives as long as this process, on a machine that slept or whose clock was set as well."""

    def end_session(self, session_id: str) -> None:
        """Forget that objects were to come."""
        self._cleanup_push_session(session_id, cleanup_messages=False)


def add_site(state: SiteState, site: str, key: bytes) -> int:
    """Make a site known by its public key (PEM); its node id."""
    node_id: int = state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, 0, name=site)
    return node_id


def start_run(state: SiteState) -> int:
    """Flower's record of the run; its id."""
    run_id = state.create_run(
        None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP
    )
    task_id = state.get_run_info(run_ids=[run_id])[0].primary_task_id
    assert task_id is not None
    state.claim_task(task_id)
    state.activate_task(task_id)
    return run_id


def task_metadata(task: RoundInput, node_id: int, run_id: int) -> Metadata:
    return Metadata(
        run_id=run_id,
        message_id="",
        src_node_id=SUPERLINK_NODE_ID,
        dst_node_id=node_id,
        reply_to_message_id="",
        group_id=str(task.round),
        created_at=time.time(),
        ttl=_TASK_SECONDS,
        message_type=task.kind if task.kind in ("train", "evaluate") else f"query.{task.kind}",
    )
