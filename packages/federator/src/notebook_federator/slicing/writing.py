"""A slice on disk: ``slice.py``, ``manifest.json`` and the helper modules it carries."""

from __future__ import annotations

from pathlib import Path

from nbfed_site.contracts import canonical_json, plain

from .shapes import Slice


def files(slice_: Slice) -> dict[str, bytes]:
    """The files of a slice: relative path -> bytes."""
    return {
        "slice.py": slice_.text.encode(),
        "manifest.json": canonical_json(plain(slice_.manifest)),
        **slice_.modules,
    }


def write(slice_: Slice, folder: Path) -> None:
    """Write ``slice_`` into ``folder``, which is made where missing.

    Raises:
        OSError: the folder cannot be written.
    """
    for name, data in files(slice_).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
