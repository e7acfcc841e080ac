"""What was on a wire: the packets of a capture file, taken apart as far as is asked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ARP, _IPV4, _TCP = 0x0806, 0x0800, 6
_SYN, _ACK = 0x02, 0x10


@dataclass(frozen=True)
class Packet:
    """One packet; ``kind`` is ``tcp``, ``arp`` or what else it is. Addresses are ``HOST:PORT``."""

    kind: str
    source: str = ""
    target: str = ""
    opens: bool = False
    payload: bytes = b""


def packets(path: Path) -> Iterator[Packet]:
    """All packets of a capture file (pcap, Ethernet)."""
    data = path.read_bytes()
    assert struct.unpack("<I", data[:4])[0] == 0xA1B2C3D4
    position = 24
    while position + 16 <= len(data):
        length = struct.unpack("<I", data[position + 8 : position + 12])[0]
        yield _packet(data[position + 16 : position + 16 + length])
        position += 16 + length


def _packet(frame: bytes) -> Packet:
    (kind,) = struct.unpack(">H", frame[12:14])
    if kind == _ARP:
        return Packet("arp")
    if kind != _IPV4:
        return Packet(f"ethernet {kind:#x}")
    packet = frame[14:]
    head, whole, protocol = (packet[0] & 15) * 4, struct.unpack(">H", packet[2:4])[0], packet[9]
    if protocol != _TCP:
        return Packet(f"ip protocol {protocol}")
    segment = packet[head:whole]
    source_port, target_port = struct.unpack(">HH", segment[:4])
    flags = segment[13]
    return Packet(
        "tcp",
        f"{_dotted(packet[12:16])}:{source_port}",
        f"{_dotted(packet[16:20])}:{target_port}",
        opens=bool(flags & _SYN) and not flags & _ACK,
        payload=segment[(segment[12] >> 4) * 4 :],
    )


def _dotted(address: bytes) -> str:
    return ".".join(map(str, address))


def streams(found: Iterator[Packet]) -> bytes:
    """All that was said over TCP, one direction of one connection after the other, as it was sent."""
    said: dict[tuple[str, str], bytearray] = {}
    for packet in found:
        said.setdefault((packet.source, packet.target), bytearray()).extend(packet.payload)
    return b"\n".join(bytes(one) for one in said.values())
