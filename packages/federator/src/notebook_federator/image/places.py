"""Where things stand in an image."""

from __future__ import annotations

VENV = "app/venv"
PYTHON = f"/{VENV}/bin/python3 -I"  # isolated: a host's PYTHONPATH must not replace what the image holds


def site_packages(python: str) -> str:
    """The folder of imported packages in a layer; ``python`` as ``3.11``."""
    return f"{VENV}/lib/python{python}/site-packages"
