"""What `nbfed build` and `nbfed image` take and print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .image.shapes import BuiltImage, Layer
    from .image.stripping import LeftOut
    from .imaging import Built


def text(built: Built) -> str:
    """Lock, images, what their layers weigh, and where they are, for people."""
    lines = list(_lock(built))
    for image in built.images:
        lines += ["", *_image(image, built.names[image.role])]
    lines += ["", *_left_out(built)]
    lines += [f"{how:<10} {place}" for how, place in built.places]
    if built.signed_by:
        lines.append(f"signed by  {built.signed_by}")
    return "\n".join(lines)


def _lock(built: Built) -> Iterator[str]:
    lock = built.settled.lock
    yield f"lock       {built.settled.path} ({built.settled.state}): {len(lock.packages)} packages"
    yield f"base       {lock.target.base} (Python {lock.target.python}, {lock.target.platform})"


def _image(image: BuiltImage, name: str) -> Iterator[str]:
    base, own = _parts(image)
    yield f"{image.role:<10} {name}"
    yield f"{'':<10} {image.digest}"
    yield f"{'':<10} {_bytes(base)} base, {_bytes(sum(layer.descriptor.size for layer in own))} added:"
    for layer in own:
        unpacked = _bytes(layer.unpacked)
        yield f"{'':<10} {_bytes(layer.descriptor.size):>9}  {layer.title} ({unpacked} unpacked)"


def _parts(image: BuiltImage) -> tuple[int, list[Layer]]:
    """Bytes of the base, and the layers that were added to it."""
    own = [layer for layer in image.layers if layer.key or layer is image.layers[-1]]
    everything = sum(layer.descriptor.size for layer in image.layers)
    return everything - sum(layer.descriptor.size for layer in own), own


def _left_out(built: Built) -> Iterator[str]:
    """One line for each reason."""
    from .image.layers import not_installed
    from .image.stripping import WHOLE

    for wheel in not_installed(built.settled.lock.packages):
        yield f"left out   {_bytes(wheel.size)}, {wheel.name}: {WHOLE[wheel.name]}"
    reasons: dict[str, list[LeftOut]] = {}
    for item in built.left_out:
        reasons.setdefault(item.reason, []).append(item)
    for reason, items in reasons.items():
        names = ", ".join(sorted({item.distribution for item in items}))
        yield f"left out   {_bytes(sum(item.size for item in items))}, {reason}: {names}"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def data(built: Built) -> dict[str, Any]:
    """The same for machines; sizes in bytes."""
    settled = built.settled
    return {
        "lock": {"path": str(settled.path), "state": settled.state, "packages": len(settled.lock.packages)},
        "base": settled.lock.target.base,
        "images": {image.role: _image_data(image, built.names[image.role]) for image in built.images},
        "left_out": [
            {
                "distribution": item.distribution,
                "pattern": item.pattern,
                "reason": item.reason,
                "bytes": item.size,
            }
            for item in built.left_out
        ],
        "places": [list(place) for place in built.places],
        "signed_by": built.signed_by,
    }


def _image_data(image: BuiltImage, name: str) -> dict[str, Any]:
    base, own = _parts(image)
    layers = [
        {
            "title": layer.title,
            "digest": layer.descriptor.digest,
            "bytes": layer.descriptor.size,
            "unpacked": layer.unpacked,
        }
        for layer in own
    ]
    return {
        "name": name,
        "digest": image.digest,
        "base_bytes": base,
        "added_bytes": sum(layer.descriptor.size for layer in own),
        "layers": layers,
    }
