"""Sound inputs, for the search to begin with: most of what is found lies a step beside them."""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from .targets import BREAK, NAMES, authority, own_folder

# isort: split
from flwr.app import ConfigRecord, RecordDict
from flwr.app.message.message import make_message
from flwr.common.serde import message_to_proto
from flwr.proto import fleet_pb2
from flwr.proto.message_pb2 import ObjectTree
from nbfed_site.certificates import signing_request
from nbfed_site.contracts import Kit, RoundInput, canonical_json, plain
from nbfed_site.keys import private_key, sign
from nbfed_site.link.courier import _reply_to
from nbfed_site.link.fleet import VERSIONS
from nbfed_site.link.pack import chunk_head
from nbfed_site.receipts import Receipts
from notebook_federator.rounds.flower_calls import REQUESTS


def seeds(name: str) -> list[bytes]:
    """Sound inputs of a target."""
    return list(_SEEDS.get(name, lambda: [])())


def _call_seeds() -> list[bytes]:
    tree = ObjectTree(object_id="0" * 64)
    made: dict[str, Any] = {name: REQUESTS[name]() for name in NAMES} | {
        "activate-node": fleet_pb2.ActivateNodeRequest(public_key=b"k", heartbeat_interval=10.0),
        "push-messages": fleet_pb2.PushMessagesRequest(message_object_trees=[tree]),
    }
    ids = {"run_id": 1, "dst_node_id": 1, "src_node_id": 1, "message_id": "m", "group_id": "1"}
    metadata = _reply_to(SimpleNamespace(**ids, created_at=1.0, ttl=9e9, message_type="train"))
    message = make_message(metadata=metadata, content=RecordDict())
    made["push-messages"].messages_list.append(message_to_proto(message))
    made["push-object"] = REQUESTS["push-object"](object_id="0" * 64, object_content=b"ArrayChunk  3\0abc")
    return [
        bytes([mode | index]) + made[name].SerializeToString()
        for index, name in enumerate(NAMES)
        for mode in (0x00, 0x80, 0xC0)
    ]


def _reply_seeds() -> list[bytes]:
    content = b'{"header":"<H>","arrays":"<A>"}'
    output = {
        "task_id": "t", "kind": "train", "round": 1, "num_examples": 5, "metrics": {"loss": 1.0},
        "seconds": {}, "evaluation": None, "validation": None, "card": None, "receipts": [],
    }  # fmt: skip
    header = {"output": output, "layout": [["w", "<f4", [2], ""]]}
    run = {"dtype": "uint8", "shape": [8], "stype": "nbfed.run.1/n", "arraychunk_ids": [0]}
    failure = {"failure": {"code": "NE601", "what": "w"}, "task_id": "t"}
    whole = [content, json.dumps(header).encode(), b'{"run":"<R>"}', json.dumps(run).encode(), b"12345678"]
    short = [b'{"header":"<H>"}', json.dumps(failure).encode(), b"", b"", b""]
    return [BREAK.join(whole), BREAK.join([*whole[:4], b"!hello"]), BREAK.join(short)]


def _answer_seeds() -> list[bytes]:
    header = {"task_id": "t", "kind": "train", "round": 1, "config": {}, "layout": [["w", "<f4", [2], ""]]}
    body = json.dumps({"header": "h", "arrays": "a"}).encode()
    record = ConfigRecord({"json": canonical_json(header), "nonce": "n"}).deflate()
    run = b'{"dtype":"uint8","shape":[8],"stype":"nbfed.run.1/n","arraychunk_ids":[0]}'
    objects = [
        b"RecordDict h,a %d\0" % len(body) + body,
        record,
        b'ArrayRecord r 11\0{"run":"r"}',
        b"Array c %d\0" % len(run) + run,
        chunk_head(8) + b"12345678",
    ]
    return [BREAK.join([b"", *objects])]


def _kit_seeds() -> list[bytes]:
    fields = ("federation", "site", "serial", "issued", "server", "authority", "token", "image")
    kit = Kit(*("1" for _ in fields), slice_digest="sha256:5", notebook_digest="n")  # type: ignore[arg-type]
    return [canonical_json(plain(kit))]


def _receipt_seeds() -> list[bytes]:
    path = own_folder() / "seed.jsonl"
    key = private_key(own_folder() / "key.pem")
    kept = Receipts(path, sign=lambda text: sign(key, text.encode()))
    for event in ("received", "released"):
        kept.record(event, RoundInput("t", "train", 1), None, {"bytes": 1})  # type: ignore[arg-type]
    return [path.read_bytes()]


def _join_seeds() -> list[bytes]:
    csr = signing_request(private_key(own_folder() / "key.pem"), "a")
    return [canonical_json({"csr": csr, "kit": "k", "slice": "s", "versions": VERSIONS})]


def _csr_seeds() -> list[bytes]:
    pem = signing_request(private_key(own_folder() / "key.pem"), "a")
    der = b64decode("".join(line for line in pem.splitlines() if "-" not in line))
    return [pem.encode(), b"\0" + der]


def _certificate_seeds() -> list[bytes]:
    return [authority(datetime(2031, 1, 1, tzinfo=UTC))]


_SEEDS: Mapping[str, Callable[[], list[bytes]]] = {
    "calls": _call_seeds,
    "replies": _reply_seeds,
    "headers": lambda: [b'{"stage":"training","round":1,"epoch":2,"epochs":3}'],
    "joins": _join_seeds,
    "requests-for-certificates": _csr_seeds,
    "layouts": lambda: [b'[["w","<f4",[2,3],""],["v","|u1",[0],""],["b","<f4",[],"bf16"]]'],
    "answers": _answer_seeds,
    "refusals": lambda: [b'Fri, 27 Nov 2026 23:00:00 GMT\n--\n{"code":"NE203","what":"w","hint":"h"}'],
    "certificates": _certificate_seeds,
    "kits": _kit_seeds,
    "receipts": _receipt_seeds,
}
