"""What can go wrong with a registry: how it strikes, and how its operator mends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from notebook_federator.federation.authority import Authority

from .faults import Fault, fill, nothing
from .store import NAME, Store

OLD, TOMORROW = -4000, 3  # days from now to when a certificate is issued; it begins two days earlier


def killed() -> Fault:
    """Nobody starts it again until somebody complains."""
    return Fault(lambda store: store.kill(), mend=lambda store: store.start())


def stuck() -> Fault:
    """It takes connections and says nothing, until somebody complains."""
    return Fault(lambda store: store.freeze(), mend=lambda store: store.thaw())


def slow() -> Fault:
    """A poor line, from the first byte."""
    return Fault(
        nothing,
        mend=lambda store: store.way.mend(),
        prepare=lambda store: store.way.slow(0.002, 1_200_000),
        silent=True,
    )


def certificate(days: int = 0, foreign: bool = False) -> Fault:
    """Its certificate was issued so many days from now, or by an authority that nobody trusts."""

    def prepare(store: Store) -> None:
        now = datetime.now(UTC)
        other = Authority.make("registry", now) if foreign else store.authority
        store.again_with(other, now + timedelta(days=days))

    return Fault(
        nothing,
        mend=lambda store: store.again_with(store.authority, datetime.now(UTC)),
        prepare=prepare,
        silent=True,
    )


def disk_full() -> Fault:
    """Not a byte is left where it stores blobs."""
    return Fault(
        lambda store: fill(store.disk()),
        mend=lambda store: (store.disk() / "filler").unlink(missing_ok=True),
        disks=(NAME,),
    )


def changed(what: str) -> Fault:
    """It has other bytes under the digest of the study's manifest, or of one of its layers."""
    kept: list[bytes] = []

    def prepare(store: Store) -> None:
        path = store.bytes_of(store.blobs[what])
        kept.append(path.read_bytes())
        path.write_bytes(
            store.bytes_of(store.blobs["impostor"]).read_bytes() if what == "study" else flipped(kept[0])
        )

    def mend(store: Store) -> None:
        store.bytes_of(store.blobs[what]).write_bytes(kept[0])

    return Fault(nothing, mend=mend, prepare=prepare, silent=True)


def flipped(data: bytes) -> bytes:
    """The same, but for one bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes((data[middle] ^ 1,)) + data[middle + 1 :]
