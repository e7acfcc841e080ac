"""What can go wrong: for each place and kind, how it strikes, for how long, and how it is mended."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from notebook_federator import federating
from notebook_federator.federation.authority import Authority
from notebook_federator.kits.issuing import Wishes, issue

from .laboratory import Laboratory
from .parts import Part

Act = Callable[[Laboratory], None]


def nothing(lab: Laboratory) -> None:
    """Leave things as they are."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        strike: what happens at the moment; quick.
        seconds: how long it lasts, before ``mend``.
        prepare: before anything is started.
        wishes: of the federation. disks: whose folder lies on a small disk of its own.
        again: the server is started once more after it gave up, mended.
        silent: b does not even begin to speak; nothing is waited for.
    """

    strike: Act
    seconds: float = 0.0
    mend: Act = nothing
    prepare: Act = nothing
    wishes: dict[str, object] = field(default_factory=dict)
    disks: tuple[str, ...] = ()
    again: bool = False
    silent: bool = False


# -- processes ------------------------------------------------------------------------------------


def killed(name: str) -> Fault:
    """Killed, and started again by its container engine."""
    return Fault(lambda lab: lab.part(name).kill(), 1.0, lambda lab: revive(lab.part(name)))


def restarted(name: str) -> Fault:
    """Stopped in good order, and started again at once."""

    def strike(lab: Laboratory) -> None:
        lab.part(name).stop()
        revive(lab.part(name))

    return Fault(strike)


def comes_back(name: str) -> Fault:
    """Started again after all is over."""
    return Fault(lambda lab: revive(lab.part(name)), 3.0, lambda lab: lab.part(name).stop() and None)


def revive(part: Part) -> None:
    """Start again what is not there."""
    if not part.alive:
        part.start()


def frozen(name: str, seconds: float) -> Fault:
    """Stands still, and goes on."""
    return Fault(lambda lab: lab.part(name).freeze(), seconds, lambda lab: lab.part(name).thaw())


def frozen_for_good(name: str) -> Fault:
    """Stands still, and never goes on."""
    return Fault(lambda lab: lab.part(name).freeze(), wishes=QUORUM)


def sluggish(name: str, seconds: float) -> Fault:
    """Gets a fifth of the processor."""
    over = threading.Event()

    def strike(lab: Laboratory) -> None:
        def throttle() -> None:
            part = lab.part(name)
            while not over.wait(0.05):
                part.freeze()
                time.sleep(0.2)
                part.thaw()

        threading.Thread(target=throttle, daemon=True).start()

    return Fault(strike, seconds, lambda lab: over.set())


def restarted_with(name: str, change: Act, **more: object) -> Fault:
    """Something about it is changed, and then it is started again."""

    def strike(lab: Laboratory) -> None:
        part = lab.part(name)
        part.kill()
        change(lab)
        part.start()

    return Fault(strike, **more)  # type: ignore[arg-type]


# -- the way --------------------------------------------------------------------------------------


def cut(*names: str, seconds: float) -> Fault:
    """Tunnels break, and no new one is let through for a while."""
    return Fault(lambda lab: [lab.ways[name].cut() for name in names] and None, seconds, mend_ways)


def cut_for_good(name: str) -> Fault:
    """The same, for ever."""
    return Fault(lambda lab: lab.ways[name].cut(), wishes=QUORUM)


def black_hole(*names: str, seconds: float) -> Fault:
    """Nothing passes, and nobody is told."""
    return Fault(lambda lab: [lab.ways[name].freeze() for name in names] and None, seconds, mend_ways)


def slow(*names: str) -> Fault:
    """A poor line from now on."""
    return Fault(lambda lab: [lab.ways[name].slow(0.002, 1_500_000) for name in names] and None)


def flipped(name: str) -> Fault:
    """Bits change on the way."""
    return Fault(lambda lab: lab.ways[name].flip(3))


def mend_ways(lab: Laboratory) -> None:
    """All ways are as they were."""
    for way in lab.ways.values():
        way.mend()


def recorded_and_replayed(name: str) -> Fault:
    """Somebody sends the server again what the site sent, byte for byte."""

    def strike(lab: Laboratory) -> None:
        for said in [bytes(one) for one in lab.ways[name].recorded][-4:]:
            shout(lab.port, said)

    return Fault(strike)


def impostor(name: str, seconds: float) -> Fault:
    """The way leads to somebody who calls himself the server."""
    listener = socket.create_server(("127.0.0.1", 0))

    def prepare(lab: Laboratory) -> None:
        other = Authority.make("study", datetime.now(UTC)).server("127.0.0.1", datetime.now(UTC))
        pem = lab.folder / "impostor.pem"
        pem.write_bytes(other.certificate + other.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                    with (
                        contextlib.suppress(OSError),
                        context.wrap_socket(connection, server_side=True) as one,
                    ):
                        lab.overheard += one.recv(1000)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()

    def mend(lab: Laboratory) -> None:
        mend_ways(lab)
        listener.close()

    return Fault(lambda lab: lab.ways[name].divert(listener.getsockname()), seconds, mend, prepare)


# -- the port -------------------------------------------------------------------------------------


def garbage_on_the_port(count: int = 120) -> Fault:
    """Strangers send all sorts of bytes."""
    dice = random.Random(4)
    kinds = (
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(300),
        b"\x16\x03\x01\xff\xff" + bytes(2000),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x80\x2e\x01\x00\x02",
    )

    def strike(lab: Laboratory) -> None:
        for number in range(count):
            shout(lab.port, kinds[number % 5] if number % 2 else dice.randbytes(dice.randint(1, 3000)))

    return Fault(strike)


def shout(port: int, data: bytes) -> None:
    """Send bytes to the server and hang up, without waiting for an answer."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as connection:
        connection.sendall(data)


# -- disks ----------------------------------------------------------------------------------------


def disk_full(name: str, early: bool = False, **more: object) -> Fault:
    """Not a byte is left where it writes; ``early``: before it begins."""

    def strike(lab: Laboratory) -> None:
        if not early:
            fill(lab.disk(name))

    def free(lab: Laboratory) -> None:
        (lab.disk(name) / "filler").unlink()

    prepare = (lambda lab: fill(lab.disk(name))) if early else nothing
    mend = free if more.get("again") else nothing
    return Fault(strike, mend=mend, prepare=prepare, disks=(name,), silent=early, **more)  # type: ignore[arg-type]


def fill(folder: Path) -> None:
    """Write until the disk refuses, whatever it had set aside."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 10, 1 << 10, 1 << 10):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())


# -- clocks, certificates, kits -------------------------------------------------------------------

QUORUM: dict[str, object] = {"quorum": "2", "deadline": 8.0, "join_deadline": 12.0}
SHORT: dict[str, object] = {"deadline": 12.0, "join_deadline": 12.0}
DAY = 86_400


def clock(name: str, off: int = DAY) -> Fault:
    """Started again with the time of day a day ahead, or behind; the clock ticks as it should."""

    def strike(lab: Laboratory) -> None:
        part = lab.part(name)
        part.kill()
        part.cold = True
        part.environment |= {"LD_PRELOAD": str(lab.workshop.clock), "NBFED_CLOCK_OFF": str(off)}
        part.start()

    return Fault(strike)


def site_certificate(days_ago: int, foreign: bool) -> Act:
    """Put another certificate in the place of site b's: expired, or of another authority."""

    def change(lab: Laboratory) -> None:
        authority = Authority.make("other", datetime.now(UTC)) if foreign else lab.federation.authority()
        csr = lab.signing_request("b")
        issued = authority.issue_site(csr, "b", datetime.now(UTC) - timedelta(days=days_ago))
        (lab.folder / "b/site.pem").write_bytes(issued.pem)

    return change


def server_certificate(days_ago: int, foreign: bool) -> Act:
    """The same of the server's."""

    def change(lab: Laboratory) -> None:
        authority = Authority.make("study", datetime.now(UTC)) if foreign else lab.federation.authority()
        pair = authority.server("127.0.0.1", datetime.now(UTC) - timedelta(days=days_ago))
        lab.federation.certificate("server").write_bytes(pair.certificate)
        lab.federation.key("server").write_bytes(pair.key)

    return change


def old_kit(lab: Laboratory) -> None:
    """Site b has a kit whose token has expired."""
    issue(lab.federation, "b", Wishes(), datetime.now(UTC) - timedelta(days=40))


def foreign_kit(lab: Laboratory) -> None:
    """Site b has the kit of another federation with the same address."""
    other = lab.workshop.federation(lab.folder / "other", f"https://127.0.0.1:{lab.port}")
    federating.add_sites(other, ["b"], datetime.now(UTC))
    issue(other, "b", Wishes(), datetime.now(UTC))
    shutil.rmtree(lab.federation.kit("b"))
    shutil.copytree(other.kit("b"), lab.federation.kit("b"))


def other_slice(lab: Laboratory) -> None:
    """Site b runs the image of a changed notebook."""
    words = lab.sites["b"].words
    words[words.index("--slice") + 1] = str(lab.workshop.other_slice)


def other_manifest(lab: Laboratory) -> None:
    """The server's image is that of a changed notebook."""
    shutil.copy(lab.workshop.other_slice / "manifest.json", lab.federation.slice / "manifest.json")


def thief(lab: Laboratory) -> None:
    """Somebody has a copy of b's kit, and uses it."""
    scratch, kit = lab.folder / "thief", lab.folder / "stolen"
    scratch.mkdir()
    shutil.copytree(lab.federation.kit("b"), kit)
    original = lab.sites["b"]
    words = [
        {str(lab.federation.kit("b")): str(kit), str(lab.folder / "b"): str(scratch)}.get(word, word)
        for word in original.words
    ]
    lab.thief = Part(
        "thief", lab.nursery, original.module, words, {}, lab.folder / "thief.log", scratch / "events.jsonl"
    ).start()


def thief_first(lab: Laboratory) -> None:
    """The thief joins before site b does."""
    lab.server.start()
    thief(lab)
    assert lab.thief is not None
    lab.thief.until("joined", 30)
    lab.thief.kill()
    lab.server.kill()


def replaying(lab: Laboratory) -> None:
    """Site b will be a bad one."""
    lab.sites["b"].module = "replaying"


def replay(lab: Laboratory) -> None:
    """From now on, b sends everything again."""
    (lab.folder / "b/replay").touch()
