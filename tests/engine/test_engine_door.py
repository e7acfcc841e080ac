"""Who and what is turned away at the server's port."""

import http.client
import socket
import threading
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.proto import fleet_pb2, message_pb2, node_pb2
from nbfed_site.contracts import CannotConnect, RoundInput, VersionSkew
from nbfed_site.link import LinkSettings, fleet, generate_key, run
from nbfed_site.link.fleet import FleetClient
from nbfed_site.link.refusals import NotRecognised, Unreachable
from notebook_federator.rounds.flower_server import CALL_BYTES, OBJECT_BYTES
from notebook_federator.rounds.port import Failed, Replied

MODEL = {"w": np.arange(9, dtype=np.float32)}


def post(address: str, path: str, headers: Mapping[str, str] = {}, body: bytes = b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("POST", path, body, dict(headers))
    response = connection.getresponse()
    return response.status, response.read()


def still_serves(federation: Any) -> bool:
    federation.transport.send(RoundInput("still", "train", 1, MODEL), ["a"])
    return federation.replies(1)["a"].output.task_id == "still"


@pytest.fixture
def one(federate: Any) -> Any:
    federation = federate(names=("a", "b"))
    federation.start(names=["a"])
    return federation


def client(federation: Any, name: str) -> FleetClient:
    return FleetClient(federation.transport.address, federation.folder / f"{name}.pem", None)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/docs", "/openapi.json", "/v1/fleet/", "/v1/fleet/get-fab", "/v1/fleet/get-run",
        "/v1/fleet/register-node", "/v1/fleet/unregister-node", "/v1/control/start-run",
        "/v1/runtime/acquire-task", "/v1/fleet/../control/list-runs", "/v1/fleet/pull-messages/",
    ],
)  # fmt: skip
def test_only_the_calls_of_a_site_exist(one: Any, path: str) -> None:
    key = {"flwr-public-key": b64encode(one.keys["a"]).decode()}
    assert post(one.transport.address, path, key)[0] == 404


def test_reading_is_not_offered(one: Any) -> None:
    connection = http.client.HTTPConnection(one.transport.address, timeout=10)
    connection.request("GET", "/v1/fleet/pull-messages")
    assert connection.getresponse().status == 404


def test_an_unknown_key_is_turned_away(one: Any, tmp_path: Path) -> None:
    key = tmp_path / "stranger.pem"
    generate_key(key)
    settings = LinkSettings(one.transport.address, "stranger", key)
    with pytest.raises(CannotConnect, match="refuses this site: unknown key"):
        run(settings, lambda task: None, threading.Event(), lambda *event: None, lambda error: None)
    assert post(one.transport.address, "/v1/fleet/activate-node")[0] == 403
    assert still_serves(one)


def test_a_known_key_without_its_private_half_is_turned_away(one: Any) -> None:
    headers = {"flwr-public-key": b64encode(one.keys["a"]).decode(), "flwr-signature": "AAAA"}
    headers["flwr-timestamp"] = "2026-01-01T00:00:00+00:00"
    assert post(one.transport.address, "/v1/fleet/activate-node", headers)[0] == 401
    assert still_serves(one)


def test_a_site_cannot_speak_for_another(one: Any) -> None:
    other = one.transport._desk.members["a"].node_id
    for name, request, answer in (
        ("pull-messages", fleet_pb2.PullMessagesRequest(node=node_pb2.Node(node_id=other)), None),
        ("deactivate-node", fleet_pb2.DeactivateNodeRequest(node_id=other), None),
        ("push-object", message_pb2.PushObjectRequest(node=node_pb2.Node(node_id=other)), None),
    ):
        with pytest.raises(NotRecognised):
            client(one, "b").call(name, request, answer)
    own = node_pb2.Node(node_id=one.transport._desk.members["b"].node_id)
    request = fleet_pb2.PushMessagesRequest(node=own)
    request.messages_list.add().metadata.src_node_id = other
    request.message_object_trees.add()
    with pytest.raises(CannotConnect):
        client(one, "b").call("push-messages", request, fleet_pb2.PushMessagesResponse)
    assert still_serves(one)


def test_objects_that_nobody_waits_for_are_not_stored(one: Any) -> None:
    own = node_pb2.Node(node_id=one.transport._desk.members["b"].node_id)
    before = len(one.transport._desk.store)
    request = message_pb2.PushObjectRequest(node=own, object_id="0" * 64, session_id="x", run_id=1)
    assert not client(one, "b").push_object(request, b"ArrayChunk  3\0", [memoryview(b"abc")])
    assert len(one.transport._desk.store) == before


@pytest.mark.parametrize(("path", "limit"), [("push-object", OBJECT_BYTES), ("push-messages", CALL_BYTES)])
def test_bodies_that_are_too_large_are_refused_unread(one: Any, path: str, limit: int) -> None:
    connection = http.client.HTTPConnection(one.transport.address, timeout=10)
    connection.putrequest("POST", f"/v1/fleet/{path}")
    connection.putheader("flwr-public-key", b64encode(one.keys["a"]).decode())
    connection.putheader("Content-Length", str(limit + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    assert still_serves(one)


def test_bodies_of_unknown_length_are_refused(one: Any) -> None:
    connection = http.client.HTTPConnection(one.transport.address, timeout=10)
    connection.putrequest("POST", "/v1/fleet/pull-messages")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    assert connection.getresponse().status == 411


@pytest.mark.parametrize(
    "junk", [b"\x00" * 100, b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9\r\n\r\n", b"x" * 70_000]
)
def test_garbage_on_the_port_does_no_harm(one: Any, junk: bytes) -> None:
    host, _, port = one.transport.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        try:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(100)
        except OSError:  # the server hung up before all of it was sent
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 40")
    assert still_serves(one)


def test_protobuf_that_is_none_is_refused(one: Any) -> None:
    class Junk:
        def SerializeToString(self) -> bytes:
            return b"\xff\xff\xff"

    with pytest.raises(Unreachable, match="400"):
        client(one, "a").call("pull-messages", Junk(), fleet_pb2.PullMessagesResponse)
    assert still_serves(one)


def test_other_versions_are_refused_on_both_sides(one: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "VERSIONS", "nbfed 0.0.1, flwr 1.29.0")
    settings = LinkSettings(one.transport.address, "b", one.folder / "b.pem")
    with pytest.raises(VersionSkew, match=r"runs nbfed 0\.0\.1, flwr 1\.29\.0, but the server runs"):
        run(settings, lambda task: None, threading.Event(), lambda *event: None, lambda error: None)
    failed = one.wait(lambda event: isinstance(event, Failed))
    assert (failed.site, failed.task_id, failed.failure.code) == ("b", "", "NE202")
    assert not any(isinstance(event, Replied) for event in one.seen)
