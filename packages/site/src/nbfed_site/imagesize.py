"""Width and height of an image from its header, nothing decoded: PNG, JPEG, TIFF and BMP."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG segments that hold the size
_MOST = 1000  # JPEG segments or TIFF tags read


def image_size(path: Path) -> tuple[int, int] | None:
    """(width, height) in pixels; None where the file is no such image, is cut short, or is kept shut."""
    try:
        with path.open("rb") as file:
            head = file.read(26)
            if head.startswith(b"\x89PNG\r\n\x1a\n"):
                return _pair(">II", head[16:24])
            if head.startswith(b"\xff\xd8"):
                return _jpeg(file)
            if head.startswith(b"BM"):
                old = head[14:18] == b"\x0c\0\0\0"
                return _pair("<HH", head[18:22]) if old else _pair("<ii", head[18:26])
            if head.startswith((b"II*\0", b"MM\0*")):
                return _tiff(file, "<" if head[:1] == b"I" else ">", head[4:8])
    except (OSError, struct.error):
        pass
    return None


def _pair(layout: str, data: bytes) -> tuple[int, int]:
    width, height = struct.unpack(layout, data)
    return width, abs(height)


def _jpeg(file: BinaryIO) -> tuple[int, int] | None:
    file.seek(2)
    for _ in range(_MOST):
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF or (length < 2 and kind != 0xFF):
            return None
        if kind == 0xFF:  # filling
            file.seek(-3, os.SEEK_CUR)
        elif kind in _FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            return width, height
        else:
            file.seek(length - 2, os.SEEK_CUR)
    return None


def _tiff(file: BinaryIO, order: str, offset: bytes) -> tuple[int, int] | None:
    file.seek(*struct.unpack(order + "I", offset))
    (tags,) = struct.unpack(order + "H", file.read(2))
    sizes: dict[int, int] = {}
    for _ in range(min(tags, _MOST)):
        tag, kind, value = struct.unpack(order + "HH4x4s", file.read(12))
        sizes[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), value)[0]
    return (sizes[256], sizes[257]) if sizes.keys() >= {256, 257} else None
