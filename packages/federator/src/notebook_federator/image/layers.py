"""Layers of wheels: planned from a lock, found in the cache by their key, or made."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbfed_site.contracts import StorageFull

from ..locking.shapes import LockedWheel
from . import stripping
from . import wheels as wheels_
from .cache import Cache
from .errors import WheelDamaged
from .meter import Meter, Progress, layer_event
from .places import site_packages
from .shapes import LAYER, Descriptor, FileContent, Layer
from .stripping import LeftOut

if TYPE_CHECKING:
    from .layer_writer import Written

BUILDER = "1"  # another number wherever the bytes of a layer change
BIG = 20_000_000  # bytes of a wheel that gets a layer of its own
_DOWNLOADS = 8


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What a layer is to be made from; ``key`` stands for all of it, ``python`` is the image's (``3.11``)."""

    key: str
    title: str
    wheels: tuple[LockedWheel, ...]
    python: str


@dataclass(frozen=True, slots=True)
class _Note:
    """What is written down beside a layer when it is made."""

    written: Written
    left_out: tuple[LeftOut, ...]


def plan(wheels: Sequence[LockedWheel], python: str, title: str = "") -> tuple[LayerPlan, ...]:
    """One layer for each wheel of 20 MB or more, the largest first, and one for all others.

    Wheels that :data:`stripping.WHOLE` leaves out are in none; ``title`` says what the others are for.
    """
    kept = sorted(
        (wheel for wheel in wheels if wheel.name not in stripping.WHOLE), key=lambda each: each.name
    )
    big = sorted((wheel for wheel in kept if wheel.size >= BIG), key=lambda each: -each.size)
    rest = tuple(wheel for wheel in kept if wheel.size < BIG)
    groups = [*((wheel,) for wheel in big), *([rest] if rest else [])]
    return tuple(LayerPlan(_key(group, python), _title(group, title), group, python) for group in groups)


def _key(wheels: Iterable[LockedWheel], python: str) -> str:
    parts = [BUILDER, stripping.digest(), site_packages(python), *(f"{w.name} {w.sha256}" for w in wheels)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _title(wheels: Sequence[LockedWheel], title: str) -> str:
    only = wheels[0]
    return f"{only.name} {only.version}" if len(wheels) == 1 else f"{title}{len(wheels)} packages"


def cached(plan: LayerPlan, cache: Cache) -> Layer | None:
    """The layer where it was made before; its bytes are not read: see :func:`verified`."""
    note, blob = _noted(plan.key, cache), cache.find("layers", _blob(plan.key))
    if note is None or blob is None or blob.stat().st_size != note.written.size:
        return None
    written = note.written
    descriptor = Descriptor(LAYER, written.digest, written.size)
    return Layer(descriptor, written.diff_id, written.unpacked, plan.title, FileContent(blob), plan.key)


def verified(layer: Layer) -> bool:
    """Whether the layer's bytes have its digest; reads them all."""
    found = hashlib.sha256()
    with layer.content.open() as opened:
        while piece := opened.read(1 << 20):
            found.update(piece)
    return f"sha256:{found.hexdigest()}" == layer.descriptor.digest


def forget(key: str, cache: Cache) -> None:
    """Drop a cached layer, so that it is made again."""
    cache.drop("layers", _note(key))
    cache.drop("layers", _blob(key))


def left_out(plans: Iterable[LayerPlan], cache: Cache) -> tuple[LeftOut, ...]:
    """What the layers do not hold of their wheels; nothing is known of layers that were not made here."""
    notes = (_noted(plan.key, cache) for plan in plans)
    return tuple(each for note in notes if note is not None for each in note.left_out)


def not_installed(wheels: Iterable[LockedWheel]) -> tuple[LockedWheel, ...]:
    """Wheels of a lock that no layer holds: those of :data:`stripping.WHOLE`, which has the reasons."""
    return tuple(wheel for wheel in wheels if wheel.name in stripping.WHOLE)


def make(plan: LayerPlan, cache: Cache, progress: Progress) -> Layer:
    """Fetch the wheels and write the layer into the cache.

    A downloaded wheel that proves damaged is downloaded once more. What ``progress`` raises ends the making.

    Raises:
        WheelUnreachable: a wheel cannot be had.
        WheelDamaged: a wheel is not the locked one, not a wheel, or contradicts another.
        StorageFull: the cache has no room.
    """
    try:
        return _made(plan, cache, progress)
    except WheelDamaged:
        if not [wheel for wheel in plan.wheels if wheels_.drop_damaged(wheel, cache)]:
            raise
        return _made(plan, cache, progress)


def _made(plan: LayerPlan, cache: Cache, progress: Progress) -> Layer:
    from .wheel_layer import write_layer

    paths = _fetched(plan, cache, progress)
    meter = Meter(progress, plan.title, "making", sum(wheel.size for wheel in plan.wheels))
    with cache.making("layers", _blob(plan.key)) as making, making.open("wb") as out:
        written, left = write_layer(dict(zip(paths, plan.wheels, strict=True)), plan.python, out, meter.add)
    with cache.making("layers", _note(plan.key)) as making:
        making.write_text(json.dumps(asdict(_Note(written, left))), "utf-8")
    progress(layer_event(plan.title, "made", written.size, written.size))
    made = cached(plan, cache)
    if made is None:
        hint = "build again, and do not prune the cache meanwhile"
        raise StorageFull("A layer went from the cache as soon as it was there.", hint=hint)
    return made


def _fetched(plan: LayerPlan, cache: Cache, progress: Progress) -> list[Path]:
    from concurrent.futures import ThreadPoolExecutor

    meter = Meter(progress, plan.title, "downloading", sum(wheel.size for wheel in plan.wheels))
    stop = threading.Event()

    def received(count: int) -> None:
        if stop.is_set():
            raise InterruptedError("another download failed, or the user stopped them")
        meter.add(count)

    with ThreadPoolExecutor(_DOWNLOADS, "wheel") as pool:
        futures = [pool.submit(wheels_.obtain, wheel, cache, received) for wheel in plan.wheels]
        try:
            return [future.result() for future in futures]
        except BaseException:
            stop.set()  # so that leaving the pool does not wait for the rest of a gigabyte
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _noted(key: str, cache: Cache) -> _Note | None:
    from .layer_writer import Written

    path = cache.find("layers", _note(key))
    if path is None:
        return None
    try:
        found = json.loads(path.read_bytes())
        left = tuple(LeftOut(**each) for each in found["left_out"])
        return _Note(Written(**found["written"]), left)
    except (ValueError, OSError, TypeError, KeyError):  # not as this version writes it
        return None


def _blob(key: str) -> str:
    return f"{key}.tar.gz"


def _note(key: str) -> str:
    return f"{key}.json"
