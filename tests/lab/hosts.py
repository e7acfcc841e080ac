"""Hosts as network namespaces on one switch, each with an address of its own; for root alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

WIRE = Path(__file__).with_name("wire.py")
SWITCH, NET = "nbfedlab-switch", "10.213.7"


def why_not() -> str:
    """Why this machine cannot have hosts; empty where it can."""
    if os.getuid() != 0:
        return "network namespaces need root"
    made = subprocess.run(["ip", "netns", "add", "nbfedlab-try"], check=False, capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", "nbfedlab-try"], check=False, capture_output=True)
    return f"no network namespaces here: {made.stderr.strip()}" if made.returncode else ""


@dataclass(frozen=True)
class Line:
    """How poor the line to a host is, in each direction."""

    delay: float
    loss: float
    mbit: float


@dataclass
class Network:
    """Hosts by name, at 10.213.7.1 and up in the order given.

    Attributes:
        lines: hosts that a poor line leads to; the others have a perfect one.
    """

    names: Sequence[str]
    lines: dict[str, Line] = field(default_factory=dict)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Network:
        self._remove()
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(10)
        self._remove()

    @staticmethod
    def namespace(name: str) -> str:
        """Name of a host's namespace."""
        return f"nbfedlab-{name}"

    def address(self, name: str) -> str:
        """A host's address."""
        return f"{NET}.{1 + list(self.names).index(name)}"

    def capture(self, name: str, path: Path) -> subprocess.Popen[bytes]:
        """Begin to write down everything on a host's link; ``terminate`` it to have it whole."""
        command = ["tcpdump", "-i", "eth0", "-U", "-s", "0", "-w", str(path), "-Z", "root"]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace(name), *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        while b"listening on" not in (line := process.stderr.readline()):
            assert line, "tcpdump did not begin"
        self._processes.append(process)
        return process

    def _make(self) -> None:
        ip("netns", "add", SWITCH)
        quiet(SWITCH)
        ip("-n", SWITCH, "link", "add", "switch0", "type", "bridge", "mcast_snooping", "0")
        ip("-n", SWITCH, "link", "set", "switch0", "up")
        for name in self.names:
            host, port = self.namespace(name), f"to-{name}"
            ip("netns", "add", host)
            quiet(host)
            ip("-n", host, "link", "set", "lo", "up")
            if name in self.lines:
                self._wire(host, port, self.lines[name])
            else:
                ip(
                    "link",
                    "add",
                    port,
                    "netns",
                    SWITCH,
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    host,
                )
            ip("-n", SWITCH, "link", "set", port, "master", "switch0", "up")
            ip("-n", host, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")

    def _wire(self, host: str, port: str, line: Line) -> None:
        words = [host, "eth0", SWITCH, port, *map(str, (line.delay, line.loss, line.mbit, 7))]
        process = subprocess.Popen([sys.executable, str(WIRE), *words], stdout=subprocess.PIPE)
        self._processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

    def _remove(self) -> None:
        for name in (SWITCH, *map(self.namespace, self.names)):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def ip(*words: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *words], check=True)


def quiet(namespace: str) -> None:
    """No IPv6 here: the kernel then says nothing of its own accord."""
    paths = [f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6" for which in ("all", "default")]
    for path in paths:
        command = ["ip", "netns", "exec", namespace, "sh", "-c", f"echo 1 > {path}"]
        subprocess.run(command, check=False, capture_output=True)
