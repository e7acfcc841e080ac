"""Who passes the server's door with which certificate, and where to."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.proto import fleet_pb2
from nbfed_site.contracts import CannotConnect, RoundInput, SettingsInvalid, SiteState, VersionSkew
from nbfed_site.link import generate_key
from nbfed_site.link.refusals import Unreachable
from notebook_federator.rounds.entrance import HEAD_BYTES, Limits
from notebook_federator.rounds.flower import FlowerTransport
from notebook_federator.rounds.mutual_tls import Page
from notebook_federator.rounds.port import Failed, Joined, Lost, Progressed, Received, Replied

from .mutual import SLICE, Light, Office, Served, closed_within, connect, in_thread, read

MODEL = {"w": np.arange(9, dtype=np.float32)}
FLEET = "/v1/fleet/pull-messages"
Make = Callable[..., Served]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Served] = []

    def new(**changes: Any) -> Served:
        made.append(Served(Office(tmp_path / str(len(made))), **changes))
        return made[-1]

    yield new
    for served in made:
        served.transport.close(over=False)


def pages() -> dict[str, Page]:
    def join(visitor: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        return 200, {"site": visitor.site, "got": len(body)}

    def status(visitor: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        return 200, {"hello": visitor.role}

    return {"/v1/join": Page("POST", "join", join), "/v1/status": Page("GET", "coordinator", status)}


def still_serves(served: Served, site: Light) -> bool:
    served.transport.send(RoundInput("still", "train", 1, MODEL), ["a"])
    site.answer()
    reply = served.until(lambda event: isinstance(event, Replied))
    served.transport.discard(reply)
    return np.array_equal(reply.output.arrays["w"], MODEL["w"])


def test_a_round_with_a_member(make: Make) -> None:
    served = make()
    site = served.member("a").connect()
    assert served.until(lambda event: isinstance(event, Joined)).site == "a"
    assert still_serves(served, site)


def refused(served: Served, context: ssl.SSLContext, path: str = FLEET) -> str:
    """What TLS said to a client that got no answer at all."""
    with pytest.raises((ssl.SSLError, OSError)) as caught:
        served.ask(context, "POST", path)
    return str(caught.value)


@pytest.mark.parametrize("path", [FLEET, "/v1/join", "/v1/status", "/"])
def test_without_a_certificate_nothing_answers(make: Make, path: str) -> None:
    served = make(pages=pages())
    site = served.member("a").connect()
    assert "certificate required" in refused(served, served.office.context(None), path).lower()
    with connect(served.address) as plain:
        plain.sendall(b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        plain.settimeout(20)
        with suppress(OSError):
            assert b"HTTP" not in plain.recv(4096)
    assert still_serves(served, site)


def test_certificates_of_others_and_of_other_days_are_refused(make: Make, tmp_path: Path) -> None:
    served = make()
    strangers, office = Office(tmp_path / "strangers"), served.office
    strangers.site("a")
    office.site("old", begins=timedelta(days=-500))
    office.site("early", begins=timedelta(days=3))
    assert "unknown ca" in refused(served, strangers.context("a", trusted=office)).lower()
    assert "expired" in refused(served, office.context("old")).lower()
    assert "bad certificate" in refused(served, office.context("early")).lower()
    assert "unsupported certificate" in refused(served, office.context("server")).lower()
    served.transport.close()
    told = {reason for _, reason, _ in served.turned_away}
    assert told & {"unable to get local issuer certificate", "self-signed certificate in certificate chain"}
    assert {"certificate has expired", "certificate is not yet valid"} <= told


def test_without_certificates_only_this_machine_is_served(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="its own machine alone"):
        FlowerTransport("0.0.0.0", 0, {}, tmp_path / "spool")


def test_an_address_of_another_machine_cannot_be_listened_on(tmp_path: Path) -> None:
    with pytest.raises(CannotConnect, match="cannot be listened on"):
        Served(Office(tmp_path), host="203.0.113.1")


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_old_tls_is_not_spoken(make: Make, newest: ssl.TLSVersion) -> None:
    """And with it no renegotiation and no compression: TLS 1.3 has neither."""
    served = make()
    served.office.site("a")
    context = served.office.context("a")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = newest
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert "protocol" in refused(served, context).lower()


def test_no_connection_goes_on_with_what_another_has_shown(make: Make) -> None:
    served = make()
    served.member("a")
    context = served.office.context("a")
    context.options &= ~(ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION)
    session = None
    for _ in range(3):
        with context.wrap_socket(
            connect(served.address), server_hostname="127.0.0.1", session=session
        ) as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 404")
            assert (line.version(), line.compression(), line.session_reused) == ("TLSv1.3", None, False)
            session = line.session
            assert session is None or not session.has_ticket


def test_each_role_has_its_own_door(make: Make) -> None:
    served = make(pages=pages())
    served.member("a")
    office = served.office
    site, token, coordinator = (office.context(name) for name in ("a", office.token("b"), "coordinator"))
    assert read(served.ask(token, "POST", "/v1/join", b"12345")) == {"site": "b", "got": 5}
    assert read(served.ask(coordinator, "GET", "/v1/status")) == {"hello": "coordinator"}
    for context, method, path in (
        (site, "POST", "/v1/join"), (site, "GET", "/v1/status"), (token, "GET", "/v1/status"),
        (coordinator, "POST", "/v1/join"), (token, "POST", FLEET), (coordinator, "POST", FLEET),
    ):  # fmt: skip
        assert served.ask(context, method, path)[0] == 403, path
    for context in (site, token, coordinator):
        for method, path in (("GET", "/"), ("POST", "/v1/status"), ("GET", "/v1/join"), ("GET", "/docs")):
            assert served.ask(context, method, path)[0] == 404, path
    assert served.ask(token, "POST", "/v1/join", bytes(100_000))[0] == 413


def test_certificate_header_and_member_have_one_key(make: Make) -> None:
    served = make()
    site = served.member("a").connect()
    served.transport.admit("b", served.office.site("b"))
    borrowed = Light(served, "b")
    borrowed.client._context = served.office.context("a")
    with pytest.raises(CannotConnect):
        borrowed.connect()
    generate_key(served.office.file("c", ".key"))
    served.office.site("c")  # certified, and no member
    with pytest.raises(CannotConnect):
        Light(served, "c").connect()
    assert still_serves(served, site)


def test_another_slice_is_refused_and_told_once(make: Make) -> None:
    served = make()
    served.transport.admit("a", served.office.site("a"))
    for _ in range(3):
        with pytest.raises(VersionSkew, match=SLICE):
            Light(served, "a", "sha256:" + "6" * 64).connect()
    failed = served.until(lambda event: isinstance(event, Failed))
    assert (failed.site, failed.task_id, failed.failure.code) == ("a", "", "NE202")
    assert sum(isinstance(event, Failed) for event in served.observed) == 1
    Light(served, "a").connect()
    assert served.until(lambda event: isinstance(event, Joined)).site == "a"


def test_a_site_says_where_it_stands(make: Make) -> None:
    served = make()
    site = served.member("a").connect()
    first, second = SiteState("training", 1, 1, 3), SiteState("training", 1, 2, 3)
    for state in (first.header(), first.header(), "nonsense", second.header()):
        site.client.say(state)
        site.courier.heartbeat(1.0, 5.0)
    told = [event for event in served.observed if isinstance(event, Progressed)]
    assert told == [Progressed("a", first), Progressed("a", second)]
    assert 0 <= served.transport.heard_seconds()["a"] < 20


def test_a_site_that_is_expelled_in_mid_round(make: Make) -> None:
    served = make()
    site, other = served.member("a").connect(), served.member("b").connect()
    served.transport.send(RoundInput("t", "train", 1, MODEL), ["a", "b"])
    task = other.courier.fetch()
    served.until(lambda event: isinstance(event, Received))
    served.removed["b"] = "b was removed: the contract ended"
    served.transport.expel("b")
    assert served.until(lambda event: isinstance(event, Lost)).site == "b"
    assert task is not None
    with pytest.raises(CannotConnect):
        other.courier.deliver(other.courier.pack(task, {"output": {}}, MODEL))
    key = served.office.context("b")
    status, text = served.ask(key, "POST", FLEET, **{name: str(value) for name, value in headers(other)})
    assert (status, text) == (403, b"b was removed: the contract ended")
    site.answer()
    assert served.until(lambda event: isinstance(event, Replied)).site == "a"
    served.transport.admit("b", served.office.site("b"))
    Light(served, "b").connect()
    assert served.until(lambda event: isinstance(event, Joined)).site == "b"


def headers(site: Light) -> Any:
    return site.client._headers().items()


def test_a_waiting_site_hears_at_once_that_it_is_expelled(make: Make) -> None:
    served = make()
    site = served.member("a").connect()
    said: list[Exception] = []

    def wait() -> None:
        try:
            site.courier.fetch()
        except CannotConnect as error:
            said.append(error)

    waiting = in_thread(wait)
    served.until(lambda event: isinstance(event, Joined))
    time.sleep(0.3)
    served.transport.expel("a")
    waiting.join(5)
    assert said


def test_a_site_with_a_new_key_is_not_known_by_its_old_one(make: Make) -> None:
    served = make()
    old = served.member("a").connect()
    served.office.file("a", ".key").unlink()
    new = served.member("a").connect()
    with pytest.raises(CannotConnect):
        old.client.call("pull-messages", fleet_pb2.PullMessagesRequest(), fleet_pb2.PullMessagesResponse)
    assert still_serves(served, new)


def test_idle_strangers_are_sent_away(make: Make) -> None:
    served = make(limits=Limits(handshake_seconds=1.0))
    with connect(served.address) as silent, connect(served.address) as dripping:
        dripping.sendall(b"\x16\x03\x01")
        assert closed_within(silent, 10)
        assert closed_within(dripping, 10)
    served.transport.close()
    told = [count for *what, count in served.turned_away if what == ["127.0.0.1", "no TLS handshake in time"]]
    assert sum(told) == 2  # told at once, or one by one where the server looked between the two


def test_many_idle_strangers_do_not_keep_sites_out(make: Make) -> None:
    served = make(limits=Limits(strangers=20, per_address=20, handshake_seconds=60.0))
    crowd = [connect(served.address) for _ in range(200)]
    site = served.member("a").connect()
    assert still_serves(served, site)
    assert closed_within(crowd[0], 10)
    for connection in crowd:
        connection.close()


def test_a_certificate_has_only_so_many_connections(make: Make) -> None:
    served = make(limits=Limits(per_certificate=4, head_seconds=60.0))
    site = served.member("a").connect()
    context = served.office.context("a")
    idle = [context.wrap_socket(connect(served.address), server_hostname="127.0.0.1") for _ in range(12)]
    assert closed_within(idle[0], 10)
    assert still_serves(served, site)
    for connection in idle:
        connection.close()


@pytest.mark.parametrize("sent", [b"", b"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: "])
def test_a_head_has_to_come_in_time(make: Make, sent: bytes) -> None:
    served = make(limits=Limits(head_seconds=1.0))
    site = served.member("a").connect()
    context = served.office.context("a")
    with context.wrap_socket(connect(served.address), server_hostname="127.0.0.1") as slow:
        slow.sendall(sent)
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.1):
                try:
                    slow.sendall(b"x")
                except OSError:
                    return

        if sent:
            in_thread(drip)
        assert closed_within(slow, 10)
        stop.set()
    assert still_serves(served, site)


def test_a_head_may_only_be_so_long(make: Make) -> None:
    served = make()
    site = served.member("a").connect()
    context = served.office.context("a")
    for line in (b"X: " + b"a" * (2 * HEAD_BYTES), b"POST /" + b"a" * (2 * HEAD_BYTES)):
        with context.wrap_socket(connect(served.address), server_hostname="127.0.0.1") as large:
            large.sendall((b"" if line.startswith(b"POST") else b"POST / HTTP/1.1\r\n") + line)
            assert large.recv(100).startswith(b"HTTP/1.1 431")
    assert still_serves(served, site)


def test_protobuf_that_is_none_is_refused_behind_tls_too(make: Make) -> None:
    served = make()
    site = served.member("a").connect()

    class Junk:
        def SerializeToString(self) -> bytes:
            return b"\xff\xff\xff"

    with pytest.raises(Unreachable, match="400"):
        site.client.call("pull-messages", Junk(), fleet_pb2.PullMessagesResponse)
    assert still_serves(served, site)
