"""What anybody can try at the door of a running server, over real TLS, while three sites train."""

import contextlib
import http.client
import json
import random
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .experiment import Bench
from .laboratory import Laboratory, laboratory

pytestmark = pytest.mark.end_to_end
ROUTES = (
    "/", "/v1/status", "/v1/join", "/v1/fleet/activate-node", "/v1/fleet/pull-messages",
    "/v1/fleet/push-messages", "/v1/fleet/push-object", "/v1/fleet/pull-object", "/v1/fleet/register-node",
    "/v1/control/start-run", "/v1/fleet/../status", "/v1/status/", "//v1/status", "/v1/join?x=" + "y" * 3000,
    "/%00", "*",
)  # fmt: skip
BODIES = (
    b"", b"{" * 4000, b'{"csr": 5}', b"[]", b"null",
    json.dumps({"csr": "x" * 9000, "kit": [], "slice": {}, "versions": 1}).encode(),
)  # fmt: skip
REFUSALS = {400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 426, 431}
TRIES = 400


@pytest.fixture
def lab(bench: Bench, tmp_path: Path) -> Iterator[Laboratory]:
    """A federation in the middle of its training."""
    slow = dict.fromkeys("abc", 5.0)
    given = (tmp_path / "lab", bench.workshop, bench.nursery)
    with laboratory(*given, wishes={"deadline": 120.0}, pauses=slow) as made:
        made.start()
        made.server.until("received", round=1, task="train")
        yield made


def holder(lab: Laboratory, certificate: Path | None, key: Path | None = None) -> ssl.SSLContext:
    """How the holder of a certificate connects."""
    context = ssl.create_default_context(cafile=lab.federation.certificate("authority"))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def own(lab: Laboratory) -> tuple[Path, Path]:
    """Certificate and key of site a."""
    return lab.folder / "a/site.pem", lab.folder / "a/key.pem"


def megabytes_and_files(lab: Laboratory) -> tuple[int, int]:
    folder = Path(f"/proc/{lab.server.pid}")
    memory = int((folder / "status").read_text().split("VmRSS:")[1].split()[0]) // 1024
    return memory, len(list((folder / "fd").iterdir()))


def ask(lab: Laboratory, context: ssl.SSLContext, dice: random.Random) -> int:
    """One request that makes no sense, or too much; the status of the answer, 0 where none came."""
    method = dice.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH"))
    body = dice.choice((*BODIES, dice.randbytes(dice.randint(1, 5000))))
    headers = dice.choice(
        ({}, {"Transfer-Encoding": "chunked"}, {"Content-Length": "-1"}, {"Content-Length": "999999999999"},
         {"Expect": "100-continue"}, {"Upgrade": "websocket", "Connection": "upgrade"},
         {"flwr-public-key": "AAAA", "nbfed-state": "[" * 180}, {"Host": "\x7f"})
    )  # fmt: skip
    connection = http.client.HTTPSConnection("127.0.0.1", lab.port, timeout=3, context=context)
    try:
        connection.putrequest(method, dice.choice(ROUTES), skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        if not {"Content-Length", "Transfer-Encoding"} & set(headers):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException, ValueError):
        return 0
    finally:
        connection.close()
    return response.status


def finish(bench: Bench, lab: Laboratory, before: tuple[int, int]) -> None:
    """Nothing has grown, nothing was unexpected, and the model is what it would have been."""
    until = time.monotonic() + 20  # strangers have ten seconds for their handshake
    while (now := megabytes_and_files(lab))[1] >= before[1] + 30:
        assert time.monotonic() < until, f"open files: {before[1]}, now {now[1]}"
        time.sleep(0.2)
    assert now[0] < before[0] + 80
    assert lab.server.wait(120) == 0, lab.server.log[-2000:]
    lab.check()
    assert lab.model() == bench.model
    assert "Traceback" not in lab.server.log
    assert "internal error" not in lab.server.log


def test_who_has_a_certificate_gets_what_is_meant_for_it_and_clear_refusals(
    bench: Bench, lab: Laboratory
) -> None:
    before, dice = megabytes_and_files(lab), random.Random(11)
    keys = lab.federation.keys
    thieves = {
        "join": holder(lab, lab.federation.kit("a") / "join-token.pem"),
        "site": holder(lab, *own(lab)),
        "coordinator": holder(lab, keys / "coordinator.pem", keys / "coordinator.key"),
    }
    for role, context in thieves.items():
        answers = Counter(ask(lab, context, dice) for _ in range(TRIES))
        allowed = REFUSALS | {0} | ({200} if role == "coordinator" else set())
        assert set(answers) <= allowed, (role, answers)
        assert sum(answers[status] for status in REFUSALS) > TRIES // 2, (role, answers)
    finish(bench, lab, before)


def test_who_has_none_gets_a_tls_alert_at_most(bench: Bench, lab: Laboratory) -> None:
    before, dice = megabytes_and_files(lab), random.Random(12)
    hello = client_hello(lab)
    said: list[bytes] = []

    def shout(data: bytes) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", lab.port), 3) as one:
            one.settimeout(2)
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            while piece := one.recv(4096):
                said.append(piece)

    idle = [socket.create_connection(("127.0.0.1", lab.port), 3) for _ in range(150)]
    kinds = [
        b"",
        b"GET /v1/status HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        hello,
        hello + hello,
    ]
    kinds += [hello[: dice.randrange(1, len(hello))] for _ in range(40)]
    kinds += [flipped(hello, dice) for _ in range(150)]
    kinds += [dice.randbytes(dice.randint(1, 3000)) for _ in range(80)]
    for data in kinds:
        shout(data)
    for protocol in ("h2", "spdy/1", "x" * 200):
        assert not answered(lab, protocol)
    for one in idle:
        one.close()
    assert b"HTTP/" not in b"".join(said)
    finish(bench, lab, before)


def answered(lab: Laboratory, protocol: str) -> bytes:
    """What comes of a sound handshake without a certificate, for whatever protocol; empty where nothing."""
    context = holder(lab, None)
    context.set_alpn_protocols([protocol])
    raw = socket.create_connection(("127.0.0.1", lab.port), 3)
    try:
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as one:
            one.sendall(b"GET /v1/status HTTP/1.1\r\n\r\n")
            return one.recv(100)
    except OSError:
        return b""
    finally:
        raw.close()


def client_hello(lab: Laboratory) -> bytes:
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = holder(lab, None).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        made.do_handshake()
    return outgoing.read()


def flipped(data: bytes, dice: random.Random) -> bytes:
    """A bit or two of it changed."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def test_slow_bodies_of_a_member_keep_nobody_waiting(bench: Bench, lab: Laboratory) -> None:
    before, context = (
        megabytes_and_files(lab),
        holder(lab, *own(lab)),
    )
    over = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            raw = socket.create_connection(("127.0.0.1", lab.port), 3)
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as one:
                one.sendall(
                    b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
                )
                while not over.wait(0.3):
                    one.sendall(b"x")

    threads = [threading.Thread(target=drip) for _ in range(12)]
    for thread in threads:
        thread.start()
    try:
        finish(bench, lab, before)
    finally:
        over.set()
        for thread in threads:
            thread.join(10)
