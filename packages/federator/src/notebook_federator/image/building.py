"""From a lock and a slice to two images: every layer found, or made once, in parallel."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import Manifest

from ..locking import Lock
from ..locking import identity as identity_of
from . import layers
from .assembling import Identity, assemble, code_layer, configuration, slice_files
from .base_image import BaseImage
from .cache import Cache
from .layers import LayerPlan
from .meter import Progress
from .runtime_files import runtime_files, runtime_version
from .shapes import ROLES, BuiltImage, Layer, Role

if TYPE_CHECKING:
    from .stripping import LeftOut

_MAKERS = 2


@dataclass(frozen=True, slots=True)
class Source:
    """Everything that both images are made from.

    Attributes:
        slice_files: by path below the slice folder.
        lock: without what no image needs; ``lock_digest`` is that of the whole.
    """

    manifest: Manifest
    slice_files: Mapping[str, bytes]
    lock: Lock
    lock_digest: str
    base: BaseImage


def source(manifest: Manifest, slice_files: Mapping[str, bytes], lock: Lock, base: BaseImage) -> Source:
    """What images are made from, less the wheels that are left out whole."""
    outside = {wheel.name for wheel in layers.not_installed(lock.packages)}
    inside = tuple(wheel for wheel in lock.packages if wheel.name not in outside)
    return Source(manifest, slice_files, replace(lock, packages=inside), identity_of(lock), base)


def build(
    source: Source,
    cache: Cache,
    known: Callable[[str], Layer | None],
    ready: Callable[[Layer], None],
    progress: Progress,
) -> tuple[BuiltImage, ...]:
    """Both images, the server's first.

    Args:
        source: what they are made from.
        cache: finished layers and wheels.
        known: a layer that a registry has already, by its key.
        ready: called with every layer as soon as it can be sent; from this thread.
        progress: told of every layer.

    Raises:
        WheelUnreachable, WheelDamaged: of a wheel that a layer needs.
        StorageFull: the cache has no room.
    """
    plans = {role: _plans(source, role) for role in ROLES}
    code = {role: _code(source, role) for role in ROLES}
    for layer in (*source.base.layers, *code.values()):
        ready(layer)
    made = _made(_all_plans(source), cache, known, ready, progress)
    return tuple(
        assemble(identity(source, role), source.base, [*(made[plan.key] for plan in plans[role]), code[role]])
        for role in ROLES
    )


def identity(source: Source, role: Role) -> Identity:
    """What the image of ``role`` says of itself."""
    torch = source.lock.target.torch
    return Identity(role, source.manifest, source.lock_digest, torch, runtime_version())


def default_tag(images: Sequence[BuiltImage]) -> str:
    """A tag made from the contents of both images: no other two have it."""
    return hashlib.sha256("\n".join(image.digest for image in images).encode()).hexdigest()[:12]


def context(source: Source, role: Role) -> dict[str, bytes]:
    """A build context whose Dockerfile gives an equivalent image: path -> bytes."""
    from .exports.dockerfile import Recipe, build_context

    config = configuration(identity(source, role), source.base)
    files = slice_files(role, source.slice_files)
    return build_context(Recipe(role, source.lock, source.base, config, files, runtime_files(role)))


def left_out(source: Source, cache: Cache) -> tuple[LeftOut, ...]:
    """What of the wheels neither image holds, and why; nothing of layers that were made elsewhere."""
    return layers.left_out(_all_plans(source), cache)


def drop_damaged(source: Source, cache: Cache) -> bool:
    """Remove layers from the cache whose bytes have changed; whether there were any."""
    found = [layers.cached(plan, cache) for plan in _all_plans(source)]
    damaged = [layer for layer in found if layer is not None and not layers.verified(layer)]
    for layer in damaged:
        layers.forget(layer.key, cache)
    return bool(damaged)


def _plans(source: Source, role: Role) -> tuple[LayerPlan, ...]:
    """The layers of an image: what both images need apart from the rest, so that all notebooks share it."""
    python, wheels = source.base.python.version, source.lock.wheels(role)
    both = frozenset.intersection(*(frozenset(source.lock.wheels(each)) for each in ROLES))
    shared = layers.plan([wheel for wheel in wheels if wheel in both], python, "runtime: ")
    return (*shared, *layers.plan([wheel for wheel in wheels if wheel not in both], python, f"{role}: "))


def _all_plans(source: Source) -> list[LayerPlan]:
    """The layers of both images, each once."""
    return list({plan.key: plan for role in ROLES for plan in _plans(source, role)}.values())


def _code(source: Source, role: Role) -> Layer:
    return code_layer(source.base, runtime_files(role), slice_files(role, source.slice_files))


def _made(
    plans: Sequence[LayerPlan],
    cache: Cache,
    known: Callable[[str], Layer | None],
    ready: Callable[[Layer], None],
    progress: Progress,
) -> dict[str, Layer]:
    """Every layer by its key, the biggest begun first."""
    ordered = sorted(plans, key=lambda plan: -sum(wheel.size for wheel in plan.wheels))
    found: dict[str, Layer] = {}

    stop = threading.Event()

    def tell(event: Mapping[str, Any]) -> None:
        if stop.is_set():
            raise CancelledError
        progress(event)

    def one(plan: LayerPlan) -> tuple[str, Layer]:
        layer = layers.cached(plan, cache) or known(plan.key) or layers.make(plan, cache, tell)
        return plan.key, layer

    with ThreadPoolExecutor(_MAKERS, "layer") as pool:
        futures = [pool.submit(one, plan) for plan in ordered]
        try:
            for future in as_completed(futures):
                key, layer = future.result()
                found[key] = layer
                ready(layer)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return found
