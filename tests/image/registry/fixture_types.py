"""Types of the fixtures in ``tests/conftest.py``, for annotations."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class LocalRegistry(Protocol):
    """A registry on this machine."""

    address: str
    folder: Path
    process: subprocess.Popen[bytes]


StartRegistry = Callable[..., LocalRegistry]
