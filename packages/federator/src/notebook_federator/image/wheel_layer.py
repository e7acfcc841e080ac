"""The files of several wheels, written as one layer."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..locking.shapes import LockedWheel
from .deflating import MemberDamaged
from .errors import WheelDamaged
from .layer_writer import LayerWriter, Written
from .places import VENV
from .stripping import LeftOut
from .wheel_files import WheelFile, damaged, read_wheel
from .wheel_zip import Member, packed_pieces, pieces

COPIED = 32 << 10  # bytes of a compressed member that is copied; smaller ones compress better together


@dataclass(frozen=True, slots=True)
class _Part:
    """What one wheel brings: its file on this machine, and the files that go into the layer."""

    wheel: LockedWheel
    path: Path
    files: tuple[WheelFile, ...]


def write_layer(
    wheels: Mapping[Path, LockedWheel], python: str, out: BinaryIO, done: Callable[[int], None]
) -> tuple[Written, tuple[LeftOut, ...]]:
    """Write the layer; the same bytes for the same wheels, in the order that is given.

    Args:
        wheels: the wheels by their files on this machine.
        python: the image's Python, ``3.11``.
        out: where the layer goes.
        done: told of the bytes of the wheels as they are copied.

    Raises: WheelDamaged for what is wrong in a wheel, or when two wheels hold different files of one name.
    """
    contents = {path: read_wheel(path, wheel, python) for path, wheel in wheels.items()}
    found = [_Part(wheel, path, contents[path].files) for path, wheel in wheels.items()]
    parts = _without_repeats(found)
    writer = LayerWriter(out)
    for folder in _folders(parts):
        writer.directory(folder)
    for part in parts:
        _copy(writer, part, [file for file in part.files if not _is_big(file)], done)
    for part in parts:
        _copy(writer, part, [file for file in part.files if _is_big(file)], done)
    return writer.finish(), tuple(each for content in contents.values() for each in content.left_out)


def _is_big(file: WheelFile) -> bool:
    source = file.source
    return isinstance(source, Member) and source.deflated and source.packed >= COPIED


def _copy(writer: LayerWriter, part: _Part, files: Iterable[WheelFile], done: Callable[[int], None]) -> None:
    with part.path.open("rb") as raw:
        for file in files:
            try:
                _copy_file(writer, raw, file)
            except MemberDamaged as error:
                raise damaged(part.wheel, f"{file.path} is damaged, {error}") from error
            done(file.source.packed if isinstance(file.source, Member) else 0)


def _copy_file(writer: LayerWriter, raw: BinaryIO, file: WheelFile) -> None:
    source = file.source
    if not isinstance(source, Member):
        writer.file(file.path, source, file.mode)
    elif _is_big(file):
        writer.deflated(file.path, source.size, source.crc, packed_pieces(raw, source), file.mode)
    else:
        writer.stream(file.path, source.size, pieces(raw, source), file.mode)


def _without_repeats(parts: Sequence[_Part]) -> list[_Part]:
    """Each path once. Of programs the first is taken, as two packages may offer one of the same name."""
    owners: dict[str, tuple[WheelFile, LockedWheel]] = {}
    kept = []
    for part in parts:
        fresh = []
        for file in part.files:
            other, owner = owners.setdefault(file.path, (file, part.wheel))
            if other is file:
                fresh.append(file)
            elif not file.path.startswith(f"{VENV}/bin/") and _checksum(other) != _checksum(file):
                raise _contradiction(file.path, owner, part.wheel)
        kept.append(_Part(part.wheel, part.path, tuple(fresh)))
    return kept


def _checksum(file: WheelFile) -> tuple[int, int]:
    source = file.source
    return file.size, source.crc if isinstance(source, Member) else zlib.crc32(source)


def _contradiction(path: str, first: LockedWheel, second: LockedWheel) -> WheelDamaged:
    return WheelDamaged(
        f"{first.filename} and {second.filename} hold different files of one name.",
        where=path,
        hint=f"{first.name} and {second.name} cannot be installed together: require only one of them",
    )


def _folders(parts: Iterable[_Part]) -> list[str]:
    """Every folder of the layer, parents first."""
    found: set[str] = set()
    for part in parts:
        for file in part.files:
            folder = file.path.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
    for part in parts:
        for file in part.files:
            if file.path in found:
                raise damaged(part.wheel, f"{file.path} is a folder in another wheel, or in itself")
    return sorted(found)
