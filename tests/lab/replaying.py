"""A site that went bad: from the moment on, it sends every update twice, and all its earlier ones again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import PushObjectRequest
from nbfed_site import __main__ as site
from nbfed_site.link.courier import Courier, Delivery
from nbfed_site.link.fleet import Unreachable
from nbfed_site.link.pack import chunk_head

REPLAY = Path(sys.argv[sys.argv.index("--scratch") + 1]) / "replay"
SENT: list[tuple[Delivery, dict[str, bytes]]] = []
deliver = Courier.deliver


def deliver_again(self: Courier, delivery: Delivery) -> int | None:
    """As the real one, and then once more."""
    chunks = {
        key: chunk_head(sum(map(len, pieces))) + b"".join(pieces) for key, pieces in delivery.chunks.items()
    }
    SENT.append((delivery, chunks))
    done = deliver(self, delivery)
    if REPLAY.exists():
        for old, objects in SENT:
            again(self, old, objects)
    return done


def again(courier: Courier, delivery: Delivery, chunks: dict[str, bytes]) -> None:
    """Announce a reply once more, and push all of it."""
    client: Any = courier._client
    node, metadata = courier._active(), delivery.parcel.message.metadata
    message = message_to_proto(delivery.parcel.message)
    request = PushMessagesRequest(
        node=node, messages_list=[message], message_object_trees=[delivery.parcel.tree]
    )
    answer = client.call("push-messages", request, PushMessagesResponse)
    taken = 0
    for object_id, data in {**delivery.parcel.objects, **chunks}.items():
        push = PushObjectRequest(
            node=node, run_id=metadata.run_id, object_id=object_id, session_id=answer.session_id
        )
        try:
            taken += client.push_object(push, data, [])
        except Unreachable:
            continue
    with REPLAY.open("a") as file:
        file.write(f"{delivery.task_id}: {len(answer.objects_to_push)} asked for, {taken} taken\n")


Courier.deliver = deliver_again  # type: ignore[method-assign]
sys.exit(site.main())
