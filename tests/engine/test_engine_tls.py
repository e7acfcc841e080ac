"""The same over TLS, with a certificate of the federation's own authority, and through a proxy."""

import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nbfed_site.contracts import CannotConnect, CertificateRefused, RoundInput, RoundOutput, SiteFailure
from nbfed_site.link import LinkSettings, run
from nbfed_site.link.pack import CHUNK_BYTES
from notebook_federator.rounds.flower import FlowerTransport
from notebook_federator.rounds.port import Joined, Replied

from .mutual import SLICE, Office, Served

MODEL = {"w": np.random.default_rng(8).standard_normal(CHUNK_BYTES // 4 + 99).astype(np.float32)}


def echo(task: RoundInput) -> RoundOutput:
    return RoundOutput(task.task_id, task.kind, task.round, arrays={"w": task.arrays["w"] + 1})


def describe(error: BaseException) -> SiteFailure:
    return SiteFailure("NE601", str(error))


@pytest.fixture
def served(tmp_path: Path) -> Any:
    office = Office(tmp_path / "office")
    made = Served(office)
    made.transport.admit("a", office.site("a"))
    yield made.transport, settings_of(office, made.address)
    made.transport.close()


def settings_of(office: Office, address: str) -> LinkSettings:
    authority, own, key = (
        office.file(name, kind) for name, kind in (("authority", ".pem"), ("a", ".pem"), ("a", ".key"))
    )
    return LinkSettings(f"https://{address}", "a", key, authority, own, slice_digest=SLICE)


def round_trip(transport: FlowerTransport, settings: LinkSettings) -> None:
    stop = threading.Event()
    arguments = (settings, echo, stop, lambda *event: None, describe)
    threading.Thread(target=run, args=arguments, daemon=True).start()
    events: list[Any] = []
    while not any(isinstance(event, Joined) for event in events):
        events.extend(transport.events(20))
    transport.send(RoundInput("t", "train", 1, MODEL), ["a"])
    while not any(isinstance(event, Replied) for event in events):
        events.extend(transport.events(20))
    assert np.array_equal(events[-1].output.arrays["w"], MODEL["w"] + 1)
    stop.set()


def test_a_round_over_tls(served: Any) -> None:
    round_trip(*served)


def test_a_server_with_another_certificate_is_not_spoken_to(served: Any, tmp_path: Path) -> None:
    transport, settings = served
    other = Office(tmp_path / "other").file("authority", ".pem")
    told: list[Any] = []
    strict = replace(settings, root_certificates=other, give_up_seconds=0.3)
    with pytest.raises(CertificateRefused, match="server's certificate is not accepted"):
        run(strict, echo, threading.Event(), lambda *event: told.append(event), describe)
    assert not list(transport.events(0.2))


def test_plain_http_to_a_tls_port_says_why(served: Any) -> None:
    _, settings = served
    address = settings.server.removeprefix("https://")
    plain = LinkSettings(address, "a", settings.key_path, give_up_seconds=0.3)
    with pytest.raises(CannotConnect, match="out of reach"):
        run(plain, echo, threading.Event(), lambda *event: None, describe)


def test_https_goes_through_the_proxy_of_the_environment(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def serve() -> None:
            while True:
                try:
                    client, _ = proxy.accept()
                except OSError:
                    return
                asked.append(client.recv(4096))
                host, _, port = asked[-1].split()[1].decode().rpartition(":")
                server = socket.create_connection((host, int(port)))
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=(source, target), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        round_trip(*served)
    assert asked[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in asked[0]


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
