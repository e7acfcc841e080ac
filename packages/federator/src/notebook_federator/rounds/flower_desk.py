"""Who is there and what is under way: the books of the server, and the events that the round loop reads.

Touches of Flower that are not its public API: ``flwr.proto.fleet_pb2``.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from flwr.app import ArrayRecord, RecordDict
from flwr.proto.fleet_pb2 import PushMessagesResponse
from nbfed_site.contracts import (
    CannotConnect,
    RoundInput,
    SiteFailure,
    StorageFull,
    VersionSkew,
)
from nbfed_site.contracts import SiteState as Standing
from nbfed_site.link.fleet import VERSIONS
from nbfed_site.link.records import parcel

from .flower_body import Call
from .flower_replies import Member, Sent, check_tree, read_reply
from .flower_state import SiteState, add_site, start_run, task_metadata
from .object_store import SpillingStore
from .port import Event, Failed, Joined, Lost, Progressed, Received, Replied
from .run_file import RunFile
from .uploads import Upload

_MISSED_HEARTBEATS = 4
_ARRIVALS_SECONDS = 60.0
_MOST_BYTES, _SPARE_BYTES = 1 << 36, 64 << 20


class SiteDesk:
    """Keeps the books for one transport; used by the server's thread and the round loop's."""

    def __init__(
        self,
        store: SpillingStore,
        heartbeat_seconds: float,
        observe: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.store = store
        self.state = SiteState(store)
        self.closing = False
        self._observe = observe
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._silence = _MISSED_HEARTBEATS * heartbeat_seconds
        self.run_id = start_run(self.state)
        self.members: dict[str, Member] = {}
        self._by_key: dict[bytes, Member] = {}
        self._by_node: dict[int, Member] = {}
        self._nodes: dict[bytes, int] = {}
        self._sent: dict[str, Sent] = {}
        self._sessions: dict[str, Sent] = {}
        self._replies: dict[tuple[str, str], str] = {}

    # Who belongs to the federation.

    def admit(self, site: str, key: bytes) -> None:
        """Let a site in that has this public key (PEM), and by no other key; a key is one site's alone."""
        with self._lock:
            if (holder := self._by_key.get(key)) is not None:
                if holder.site == site:
                    return
                self.expel(holder.site)
            self.expel(site)
            if key not in self._nodes:
                self._nodes[key] = add_site(self.state, site, key)
            member = Member(site, key, self._nodes[key])
            self.members[site] = self._by_key[key] = self._by_node[member.node_id] = member
            self.store.spares = len(self.members) + 1

    def expel(self, site: str) -> int | None:
        """Take back a site's tasks and know its key no more; its node id, None where it was no member."""
        with self._lock:
            member = self.members.pop(site, None)
            if member is None:
                return None
            self.withdraw(lambda sent: sent.member is member)
            self._gone(member)
            del self._by_key[member.key], self._by_node[member.node_id]
            self.state.deactivate_node(member.node_id)
            self.store.spares = len(self.members) + 1
            return member.node_id

    def heard_seconds(self) -> dict[str, float]:
        """For how long each site that was ever heard of has been silent."""
        now = time.monotonic()
        with self._lock:
            return {site: now - member.heard_at for site, member in self.members.items() if member.heard_at}

    def _tell(self, event: Event) -> None:
        self._events.put(event)
        self._observe(event)

    # What the round loop does.

    def events(self, timeout: float) -> Iterator[Event]:
        """Events, waiting for the first one."""
        try:
            yield self._events.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return
        for _ in range(self._events.qsize()):  # no more: there may be a site that never ends
            yield self._events.get_nowait()

    def post(self, task: RoundInput, site: str, content: RecordDict) -> int | None:
        """Put a message into a site's tray; its node id, None where it was expelled meanwhile.

        Raises:
            CannotConnect: the site has never joined.
        """
        with self._lock:
            member = self.members.get(site)
            if member is None:
                return None
            self.withdraw(lambda sent: sent.member is member and sent.task.task_id == task.task_id)
            message = parcel(task_metadata(task, member.node_id, self.run_id), content)
            session = self.state.start_session(self.run_id)
            stored, _ = self.state.store_message_and_object_tree(message.message, message.tree, session)
            if not stored:
                raise CannotConnect("A task was addressed to a site that has not joined.", where=site)
            root = message.tree.object_id
            self.state.store_object(self.run_id, session, root, message.objects[root])
            light = RoundInput(task.task_id, task.kind, task.round)
            most = _most_bytes(content)
            self._sent[root] = Sent(member, light, time.monotonic(), member.down, member.up, most)
            return member.node_id

    def withdraw(self, chosen: Callable[[Sent], bool]) -> None:
        """Take back messages, and forget what of their replies has come."""
        with self._lock:
            for message_id in [key for key, sent in self._sent.items() if chosen(sent)]:
                sent = self._forget(message_id)
                if sent.reply_id:
                    self.store.delete(sent.reply_id)

    def _forget(self, message_id: str) -> Sent:
        sent = self._sent.pop(message_id)
        self.state.delete_messages({message_id})
        self.store.delete(message_id)  # a site need not have said that it read its task
        self.state.confirmed.discard(message_id)
        if self._sessions.pop(sent.session_id, None) is not None:
            self.state.end_session(sent.session_id)
        return sent

    def pulse(self) -> None:
        """Find sites that have fallen silent."""
        now = time.monotonic()
        with self._lock:
            for member in self.members.values():
                if member.present and now - member.heard_at > self._silence:
                    self._gone(member)

    # What the server does, call by call.

    def knows(self, key: bytes, site: str | None = None) -> bool:
        """Whether a site, or that very site, has this public key."""
        member = self._by_key.get(key)
        return member is not None and site in (None, member.site)

    def skewed(self, key: bytes, versions: str) -> None:
        """Report a site with other versions, as a failure outside any task."""
        self._turned_away(key, f"runs {versions}, but the server runs {VERSIONS}")

    def strayed(self, key: bytes) -> None:
        """Report a site with another slice, as a failure outside any task."""
        self._turned_away(key, "runs another slice than the federation's")

    def _turned_away(self, key: bytes, how: str) -> None:
        with self._lock:
            member = self._by_key.get(key)
            if member is not None and not member.complaint:
                member.complaint = how
                what = f"Site {member.site} {how}."
                hint = "give the site the kit and image that belong to the server's"
                self._tell(Failed(member.site, "", SiteFailure(VersionSkew.code, what, hint=hint)))

    def heard(self, call: Call) -> None:
        """Count a call, notice a site that is back, and take in where it says it stands."""
        with self._lock:
            member = self._by_key.get(call.key)
            if member is None:
                return
            member.heard_at = time.monotonic()
            member.up += call.length
            if call.name not in ("activate-node", "deactivate-node"):
                self._here(member)
            if call.state and call.state != member.state:
                member.state = call.state
                if (state := Standing.from_header(call.state)) is not None:
                    self._tell(Progressed(member.site, state))

    def answered(self, call: Call, down: int) -> None:
        """Count the bytes of an answer."""
        with self._lock:
            if (member := self._by_key.get(call.key)) is not None:
                member.down += down

    def waiting(self, node_id: int) -> bool:
        """Whether a call for messages has to be answered now."""
        return self.closing or bool(self.state.open_messages(node_id))

    def activated(self, node_id: int, instance: str) -> None:
        """A new process of a site has none of the tasks that were sent to the old one."""
        with self._lock:
            member = self._by_node.get(node_id)
            if member is None:
                return
            if instance != member.instance:
                member.instance = instance
                self.withdraw(lambda sent: sent.member is member)
                if self._is_restless(member):
                    self._gone(member)
                member.present = False
            self._here(member)

    def left(self, node_id: int) -> None:
        """A site said goodbye."""
        with self._lock:
            if (member := self._by_node.get(node_id)) is not None:
                self._gone(member)

    def _here(self, member: Member) -> None:
        if not member.present and member.instance and not self._is_restless(member):
            member.present, member.complaint = True, ""
            member.arrivals.append(time.monotonic())
            self._tell(Joined(member.site, member.instance))

    def _is_restless(self, member: Member) -> bool:
        """Whether a site came so often of late that it is taken for away: each time it is sent its task
        anew, and stands in the ledger."""
        arrivals = member.arrivals
        return len(arrivals) == arrivals.maxlen and time.monotonic() - arrivals[0] < _ARRIVALS_SECONDS

    def _gone(self, member: Member) -> None:
        if member.present:
            member.present, member.state = False, ""
            self._tell(Lost(member.site))

    def confirmed(self, node_id: int, message_id: str) -> None:
        """A site has read its task whole."""
        with self._lock:
            sent = self._sent.get(message_id)
            if sent is None or sent.member.node_id != node_id or message_id in self.state.confirmed:
                return
            self.state.confirmed.add(message_id)
            self.store.delete(message_id)
            self._tell(Received(sent.member.site, sent.task.task_id))

    def replying(self, request: Any, push: Callable[[], Any]) -> Any:
        """A site announces a reply; the answer says what of it is missing, nothing where nobody waits for it.

        A reply has the objects that it was first announced with. ``push`` has Flower expect them.

        Raises:
            BadInput: they are not those of a reply.
        """
        metadata, tree = request.messages_list[0].metadata, request.message_object_trees[0]
        with self._lock:
            sent = self._sent.get(metadata.reply_to_message_id)
            if sent is None or sent.member.node_id != request.node.node_id or sent.tree not in (None, tree):
                return PushMessagesResponse()
            check_tree(tree, sent.most)
            answer = push()
            self._sessions.pop(sent.session_id, None)
            sent.reply_id, sent.tree, sent.session_id = metadata.message_id, tree, answer.session_id
            sent.missing = set(answer.objects_to_push)
            self._sessions[sent.session_id] = sent
            self._complete(sent)
            return answer

    def upload(self, request: Any, length: int) -> Upload | None:
        """Begin to take an object that a site's reply lacks."""
        with self._lock:
            sent = self._sessions.get(request.session_id)
            if sent is None or sent.member.node_id != request.node.node_id:
                return None
            if request.object_id not in sent.missing:
                return None
            return Upload(self.store, request.object_id, self._file(sent), length, sent.most)

    def _file(self, sent: Sent) -> RunFile | None:
        """Where the array bytes of a reply go."""
        records = (record for content in sent.tree.children[:1] for record in content.children)
        run = next((array for record in records for array in record.children), None)
        return None if run is None else self.store.find_file(run.object_id)

    def stored(self, session_id: str, object_id: str) -> None:
        """An object of a reply is here; the last one completes the reply."""
        with self._lock:
            sent = self._sessions.get(session_id)
            if sent is not None:
                sent.missing.discard(object_id)
                self._complete(sent)

    def full(self, session_id: str, error: OSError) -> None:
        """The disk refused a part of a reply: give the reply up at once, and say why."""
        with self._lock:
            sent = self._sessions.get(session_id)
            if sent is None:
                return
            self.withdraw(lambda other: other is sent)
            site, task_id = sent.member.site, sent.task.task_id
            what = f"The server could not write the reply of site {site}: {error.strerror or error}."
            hint = f"free disk space below {self.store.folder}, then resume the run"
            self._tell(Failed(site, task_id, SiteFailure(StorageFull.code, what, hint=hint)))

    def _complete(self, sent: Sent) -> None:
        """Report a reply of which nothing is missing."""
        if sent.missing:
            return
        self._forget(next(key for key, other in self._sent.items() if other is sent))
        self._tell(self._read(sent))

    def _read(self, sent: Sent) -> Event:
        """Turn a complete reply into an event; only its arrays stay in the store."""
        site, task_id = sent.member.site, sent.task.task_id
        result = read_reply(sent, self.store)
        if isinstance(result, SiteFailure):
            self.store.delete(sent.reply_id)
            return Failed(site, task_id, result)
        self._replies[site, task_id] = sent.reply_id
        member, seconds = sent.member, time.monotonic() - sent.sent_at
        return Replied(site, result, member.down - sent.down, member.up - sent.up, seconds)

    def discard(self, reply: Replied) -> None:
        """Remove what a reply has on disk."""
        self.store.delete(self._replies.pop((reply.site, reply.output.task_id), ""))


def _most_bytes(content: RecordDict) -> int:
    """Bytes that the arrays of a reply may have: those of the model sent, twice as precise, and some."""
    arrays = cast(ArrayRecord | None, content.get("arrays"))
    return _MOST_BYTES if arrays is None else 2 * int(arrays["run"].shape[0]) + _SPARE_BYTES
