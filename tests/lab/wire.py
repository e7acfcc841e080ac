"""A poor line between two hosts: Ethernet frames, delayed, lost and paced by this process.

What ``tc netem`` does in the kernel, for kernels that are built without it. Both ends are TAP devices,
each in a network namespace. ``python wire.py NAMESPACE DEVICE NAMESPACE DEVICE DELAY LOSS MBIT SEED``
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import sys
import time
from collections.abc import Sequence

_NEW_NET = 0x40000000
_SET_INTERFACE, _TAP, _NO_INFORMATION = 0x400454CA, 0x0002, 0x1000
_FRAME = 65_536
_QUEUE_SECONDS = 0.5


def enter(namespace: str) -> None:
    """Be in another network namespace from now on."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _NEW_NET):
            raise OSError(ctypes.get_errno(), "setns", namespace)
    finally:
        os.close(descriptor)


def tap(namespace: str, device: str) -> int:
    """Make a TAP device in a namespace; its descriptor."""
    enter(namespace)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", device.encode(), _TAP | _NO_INFORMATION)
    fcntl.ioctl(descriptor, _SET_INTERFACE, request)
    return descriptor


def forward(ends: Sequence[int], delay: float, loss: float, rate: float, dice: random.Random) -> None:
    """Carry frames both ways until this process is ended; ``rate`` is in bytes per second."""
    waiting: list[tuple[float, int, int, bytes]] = []
    numbers, free_at = itertools.count(), [0.0, 0.0]
    while True:
        left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 1.0
        for end in select.select(ends, [], [], left)[0]:
            side = ends.index(end)
            frame = os.read(end, _FRAME)
            now = time.monotonic()
            if dice.random() < loss or free_at[side] - now > _QUEUE_SECONDS:
                continue
            free_at[side] = max(free_at[side], now) + len(frame) / rate
            heapq.heappush(waiting, (free_at[side] + delay, next(numbers), ends[1 - side], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, other, frame = heapq.heappop(waiting)
            os.write(other, frame)


def main(words: Sequence[str]) -> None:
    """Make both ends and carry."""
    delay, loss, mbit, seed = map(float, words[4:])
    ends = [tap(*words[:2]), tap(*words[2:4])]
    print("ready", flush=True)
    forward(ends, delay, loss, mbit * 125_000, random.Random(seed))


if __name__ == "__main__":
    main(sys.argv[1:])
