"""A slice on disk: ``slice.py``, ``manifest.json`` and the helper modules it carries."""

from __future__ import annotations

from pathlib import Path

from nbfed_site.contracts import canonical_json

from .shapes import Slice


def write(slice_: Slice, folder: Path) -> None:
    """Write ``slice_`` into ``folder``, which is made where missing.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slice.py").write_bytes(slice_.text.encode())
    (folder / "manifest.json").write_bytes(canonical_json(slice_.manifest.to_json()))
    for name, data in slice_.modules.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
