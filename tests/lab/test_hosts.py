"""Four hosts with addresses of their own: what is on the wire, and whether a poor line changes anything."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from . import hosts
from .experiment import Bench
from .hosts import Line, Network
from .laboratory import Laboratory, laboratory
from .packets import Packet, packets, streams

pytestmark = pytest.mark.end_to_end
NAMES = ("server", "a", "b", "c")


@pytest.fixture(autouse=True)
def possible() -> None:
    if reason := hosts.why_not():
        pytest.skip(reason)


@contextlib.contextmanager
def finished(bench: Bench, folder: Path, network: Network, seconds: float = 60) -> Iterator[Laboratory]:
    """A run that came to its end on these hosts, and was sound."""
    wishes = {"deadline": 200.0}
    with laboratory(folder, bench.workshop, bench.nursery, wishes=wishes, network=network) as lab:
        lab.start()
        assert lab.server.wait(seconds) == 0, lab.server.log
        for site in lab.sites.values():
            assert site.wait(30) == 0, site.log
        lab.check()
        yield lab


def test_on_the_wire_are_tls_connections_to_the_servers_port_and_nothing_else(
    bench: Bench, tmp_path: Path
) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("no tcpdump here (Debian: apt-get install tcpdump)")
    with Network(NAMES) as network:
        captures = {name: network.capture(name, tmp_path / f"{name}.pcap") for name in ("server", "b")}
        with finished(bench, tmp_path / "lab", network) as lab:
            assert lab.model() == bench.model
            for capture in captures.values():
                capture.terminate()
                capture.wait(10)
            port = f"{network.address('server')}:{lab.port}"
            model = lab.federation.run(1).models / "last.safetensors"
    for name in captures:
        found = list(packets(tmp_path / f"{name}.pcap"))
        assert len(found) > 300
        assert {packet.kind for packet in found} <= {
            "arp",
            "tcp",
        }  # no names are looked up, nothing else asked
        said = [packet for packet in found if packet.kind == "tcp"]
        assert all(port in (packet.source, packet.target) for packet in said)
        opened = [packet for packet in said if packet.opens]
        assert opened
        assert all(packet.target == port for packet in opened)  # sites call; nobody calls a site
        check_unreadable(said, model)


def check_unreadable(said: list[Packet], model: Path) -> None:
    """No word of the study, of the protocol or of the model stands in what was said."""
    text = streams(iter(said))
    with safe_open(model, framework="numpy") as file:
        arrays = [file.get_tensor(name).tobytes() for name in file.keys()]  # noqa: SIM118 (not a mapping)
    words = [b"study", b"task_id", b"num_examples", b"layers.0", b"ballast", b"nbfed", b"flwr", b"HTTP/1.1",
             b"POST", b"fleet", b"hospital", b"-----BEGIN"]  # fmt: skip
    for piece in [
        *words,
        *(array[at : at + 16] for array in arrays for at in range(0, len(array) - 16, 50_000)),
    ]:
        assert piece not in text


def test_a_poor_line_changes_nothing_but_the_time(bench: Bench, tmp_path: Path) -> None:
    poor = Line(delay=0.05, loss=0.01, mbit=20)
    with (
        Network(NAMES, dict.fromkeys("abc", poor)) as network,
        finished(bench, tmp_path / "lab", network, seconds=200) as lab,
    ):
        assert lab.model() == bench.model
