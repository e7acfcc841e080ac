"""An inspected image as plain text, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .inspecting import Inspected, InspectedLayer
from .shapes import TITLES

_ROOT = ("", "0", "root")


def text(inspected: Inspected) -> str:
    """Lines of what the image is, runs, contains, and by whom it is signed; ends with a newline."""
    lines = [f"{_title(inspected.role)} {inspected.name}"]
    lines += [f"  {name:<12} {value}" for name, value in _facts(inspected)]
    lines += ["environment", *_pairs(inspected.environment), "labels", *_pairs(inspected.labels)]
    lines += ["layers", *_layers(inspected.layers), *_packages(inspected)]
    return "".join(f"{_plain(line)}\n" for line in lines)


def _title(role: str) -> str:
    return next((f"{title} image" for known, title in TITLES.items() if known == role), "image")


def _facts(inspected: Inspected) -> Iterator[tuple[str, str]]:
    user = inspected.user
    yield "digest", inspected.digest
    yield "platform", inspected.platform
    least = "at least " if any(layer.unpacked is None for layer in inspected.layers) else ""
    yield "size", f"{_size(inspected.size)} to pull, {least}{_size(inspected.unpacked)} on disk"
    yield "base", inspected.base or "not told"
    yield "user", f"{user or '0'} (root)" if user.partition(":")[0] in _ROOT else user
    yield "entry point", " ".join(inspected.entrypoint) or "none"
    yield "command", " ".join(inspected.command) or "none"
    yield "ports", ", ".join(inspected.ports) or "none"
    yield "volumes", ", ".join(inspected.volumes) or "none"
    for signed in inspected.signatures:
        why = " (give its public key to check it)" if signed.state == "unchecked" else ""
        yield "signature", f"{signed.state}, by the key {signed.key or 'of another tool'}{why}"
    if not inspected.signatures:
        yield "signature", "none"


def _pairs(found: Mapping[str, str]) -> list[str]:
    return [f"  {name}={value}" for name, value in found.items()] or ["  none"]


def _layers(layers: Sequence[InspectedLayer]) -> Iterator[str]:
    width = max((len(layer.title) for layer in layers), default=0)
    for number, layer in enumerate(layers, 1):
        sizes = f"{_size(layer.size):>9} {_size(layer.unpacked):>9} unpacked"
        yield f"  {number:>2} {layer.title:<{width}} {sizes}  {layer.digest}"


def _packages(inspected: Inspected) -> Iterator[str]:
    if inspected.packages is None:
        yield "packages: the image has no bill of materials"
        return
    yield f"packages ({len(inspected.packages)})"
    for package in inspected.packages:
        yield f"  {package.name} {package.version}"


def _size(count: int | None) -> str:
    """Bytes in MB, and in kB below a tenth of one."""
    if count is None:
        return "?"
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def _plain(line: str) -> str:
    """Without what an image could use to draw on a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)
