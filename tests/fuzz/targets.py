"""What reads bytes of others, one function each: it takes any bytes, or refuses them as it says."""

import json
from base64 import encodebytes
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .small_server import SmallServer, new_folder

# isort: split
from flwr.app import ConfigRecord, RecordDict
from flwr.app.message.message import make_message
from flwr.common.serde import message_to_proto
from flwr.proto import fleet_pb2
from flwr.proto.message_pb2 import ObjectTree
from nbfed_site.certificates import fingerprint, flaw
from nbfed_site.contracts import (
    BadInput,
    JoinRefused,
    KitInvalid,
    LedgerBroken,
    NbfedError,
    SiteState,
    canonical_json,
    output_header,
)
from nbfed_site.keys import generate_key, private_key, public_key, sign
from nbfed_site.kit import read_kit
from nbfed_site.link.courier import _reply_to, task_of
from nbfed_site.link.fleet import VERSIONS, _parsed
from nbfed_site.link.pack import array_at, slots_from_json, total_bytes
from nbfed_site.link.records import open_parcel
from nbfed_site.link.refusals import Unreachable, refusal
from nbfed_site.receipts import read_receipts
from notebook_federator.federation.authority import Authority
from notebook_federator.federation.join_page import _versions
from notebook_federator.federation.joining import read_request
from notebook_federator.rounds.flower_calls import REQUESTS
from notebook_federator.rounds.port import Failed, Replied

BREAK = b"\n--\n"  # between the parts of inputs that have several
NAMES = sorted(REQUESTS)
_MOST = 1 << 20


@cache
def _server() -> SmallServer:
    return SmallServer()


@cache
def own_folder() -> Path:
    """A folder with a key, and its public half as ``signing.pub``."""
    folder = new_folder()
    generate_key(folder / "key.pem")
    (folder / "signing.pub").write_bytes(public_key(folder / "key.pem"))
    return folder


def calls(data: bytes) -> None:
    """At the server: one call of a site after the other; the first byte of each says which, and how."""
    server = _server()
    server.send_task()
    for part in data.split(BREAK)[:4]:
        how, body = (part[0], part[1:]) if part else (0, b"")
        name = NAMES[how % len(NAMES)]
        if how & 0x80:
            with suppress(Exception):  # what is no request is sent as it is
                body = server.adopted(name, body)
        server.ask(name, body, piece=1 if how & 0x40 else 1 << 16)
    server.end_task()


def replies(data: bytes) -> None:
    """At the server: a reply whose objects are as they say, and hold anything.

    The parts are the bodies of its content, header, arrays, and run of array bytes, and its chunk; ``<H>``,
    ``<A>``, ``<R>`` stand for the ids of the objects inside. A header ``?`` has the last part for its record;
    a last part that begins with ``!`` is no chunk.
    """
    server = _server()
    content, header, arrays, run, chunk = (*data.split(BREAK), b"", b"", b"", b"", b"")[:5]
    ids: dict[bytes, str] = {}
    objects: list[tuple[str, bytes]] = []

    def make(mark: bytes, kind: bytes, children: tuple[str, ...], body: bytes) -> str:
        for name, its in ids.items():
            body = body.replace(name, its.encode())
        whole = b"%s %s %d\0" % (kind, ",".join(children).encode(), len(body)) + body
        ids[mark] = sha256(whole).hexdigest()
        objects.append((ids[mark], whole))
        return ids[mark]

    small = chunk.removeprefix(b"!")
    if small != chunk:  # no chunk at all in its place
        objects.append((sha256(small).hexdigest(), small))
        piece = objects[0][0]
    else:
        piece = make(b"<C>", b"ArrayChunk", (), chunk)
    run_id = make(b"<R>", b"Array", (piece,), run)
    record = ConfigRecord({"json": header, "nonce": "n"}).deflate().partition(b"\0")[2]
    header_id = make(b"<H>", b"ConfigRecord", (), record if header != b"?" else chunk)
    arrays_id = make(b"<A>", b"ArrayRecord", (run_id,), arrays)
    content_id = make(b"<D>", b"RecordDict", (header_id, arrays_id), content)
    tree = ObjectTree(object_id=content_id)
    for child, its in ((header_id, ()), (arrays_id, ((run_id, piece),))):
        tree.children.append(ObjectTree(object_id=child, children=[_chain(*one) for one in its]))
    metadata = _reply_to(server.send_task())
    root = sha256(data).hexdigest()
    metadata.__dict__["_message_id"] = root
    request = fleet_pb2.PushMessagesRequest(
        node=server.node,
        messages_list=[message_to_proto(make_message(metadata=metadata, content=RecordDict()))],
        message_object_trees=[ObjectTree(object_id=root, children=[tree])],
    )
    missing = [(root, data), *reversed(objects)]
    server.push(request, missing)
    for event in list(server.desk.events(0.0)):
        _look(event)
    server.end_task()


def _chain(outer: str, inner: str) -> ObjectTree:
    return ObjectTree(object_id=outer, children=[ObjectTree(object_id=inner)])


def _look(event: Any) -> None:
    """What the round loop and the ledger do with a reply."""
    if isinstance(event, Failed):
        canonical_json(asdict(event.failure))
    elif isinstance(event, Replied):
        canonical_json(output_header(event.output))
        for array in (event.output.arrays or {}).values():
            assert isinstance(array, np.ndarray)


def headers(data: bytes) -> None:
    """At the server: what a site says of its state."""
    found = SiteState.from_header(data.decode("latin-1"))
    assert found is None or SiteState.from_header(found.header()) == found


def joins(data: bytes) -> None:
    """At the server: a join request, with its certificate request."""
    canonical_json({"hint": _versions(data)})
    with suppress(JoinRefused):
        request = read_request(data)
        assert request.key.startswith(b"-----BEGIN PUBLIC KEY-----")


def requests_for_certificates(data: bytes) -> None:
    """At the server: the certificate request alone, in PEM or (after a zero byte) DER."""
    if data.startswith(b"\0"):
        lines = encodebytes(data[1:])
        data = b"-----BEGIN CERTIFICATE REQUEST-----\n" + lines + b"-----END CERTIFICATE REQUEST-----\n"
    text = data.decode("latin-1")
    joins(json.dumps({"csr": text, "kit": "k", "slice": "s", "versions": VERSIONS}).encode())


def layouts(data: bytes) -> None:
    """At both ends: the layout of arrays."""
    try:
        slots = slots_from_json(json.loads(data))
    except (BadInput, ValueError, RecursionError):
        return
    if total_bytes(slots) < _MOST:
        run = np.zeros(total_bytes(slots), np.uint8)
        for slot in slots:
            assert array_at(slot, run).shape == slot.shape


def answers(data: bytes) -> None:
    """At a site: what a server answers to a call for messages, and the objects that it then gives."""
    message, *objects = data.split(BREAK)
    with suppress(NbfedError, Unreachable):
        answer = _parsed(fleet_pb2.PullMessagesResponse, message)
        trees = answer.message_object_trees or [ObjectTree(children=[ObjectTree(object_id="x")])]
        given = iter((*objects, b"", b"", b"", b""))
        header, run = open_parcel(trees[0], lambda object_id: next(given))
        layout = header.pop("layout", None)
        task_of(header)
        if run is not None:
            slots_from_json(layout)


def refusals(data: bytes) -> None:
    """At a site: a refusal of the server, or of whatever answers in its place."""
    date, _, body = data.partition(BREAK)
    for status in (401, 403, 426, 500):
        assert isinstance(refusal(status, body[:4000], date.decode("latin-1"), VERSIONS), Exception)


def certificates(data: bytes) -> None:
    """At a site: what it is given for a certificate."""
    own = private_key(own_folder() / "key.pem")
    assert flaw(data, own, authority(datetime(2030, 1, 1, tzinfo=UTC)))
    fingerprint(data)


@cache
def authority(now: datetime) -> bytes:
    """The certificate (PEM) of an authority made at that time."""
    return Authority.make("fuzz", now).pair.certificate


def kits(data: bytes) -> None:
    """At a site: a kit that was signed with its own key."""
    folder = own_folder()
    (folder / "kit.json").write_bytes(data)
    (folder / "kit.sig").write_text(sign(private_key(folder / "key.pem"), data))
    with suppress(KitInvalid):
        read_kit(folder, "sha256:5")


def receipts(data: bytes) -> None:
    """At the coordinator: the record that a site brings for comparison."""
    path = own_folder() / "receipts.jsonl"
    path.write_bytes(data)
    with suppress(LedgerBroken):
        read_receipts(path, (own_folder() / "signing.pub").read_bytes())


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__.replace("_", "-"): target
    for target in (
        calls,
        replies,
        headers,
        joins,
        requests_for_certificates,
        layouts,
        answers,
        refusals,
        certificates,
        kits,
        receipts,
    )
}
