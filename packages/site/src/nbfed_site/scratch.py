"""The one folder that a container may write: key, certificate, records, health, all temporary files."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contracts import BadInput, canonical_json

_FOLDERS = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "home/config"}
# Where libraries keep what they make; unset, all of them go by the folders above.
_ELSEWHERE = (
    *("CUDA_CACHE_PATH", "FLWR_HOME", "HF_HOME", "KERAS_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"),
    *("SCIKIT_LEARN_DATA", "TORCHINDUCTOR_CACHE_DIR", "TORCH_HOME", "TRITON_CACHE_DIR", "XDG_DATA_HOME"),
)
_SILENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Scratch:
    """Paths below the scratch folder."""

    path: Path

    @property
    def key(self) -> Path:
        """The private key."""
        return self.path / "key.pem"

    @property
    def certificate(self) -> Path:
        """The certificate of that key, once this site has joined."""
        return self.path / "site.pem"

    @property
    def receipts(self) -> Path:
        """What came in and what left."""
        return self.path / "receipts.jsonl"

    @property
    def events(self) -> Path:
        """What happened."""
        return self.path / "events.jsonl"

    @property
    def health(self) -> Path:
        """The last sign of life."""
        return self.path / "health.json"

    def confine(self) -> None:
        """Have this process, and all that it imports from now on, write nowhere else.

        A name is given to a user whom the system does not know, for libraries that ask.

        Raises:
            BadInput: the folder cannot be written.
        """
        sys.dont_write_bytecode = True
        for variable in _ELSEWHERE:
            os.environ.pop(variable, None)
        try:
            for variable, name in _FOLDERS.items():
                os.environ[variable] = str(self.path / name)
                (self.path / name).mkdir(parents=True, exist_ok=True)
            os.chdir(self.path / "home")
        except OSError as error:
            hint = f"Mount a folder there that user {os.getuid()} may write: NBFED_SCRATCH=/some/folder"
            what = f"The scratch folder cannot be written: {error.strerror}."
            raise BadInput(what, where=str(self.path), hint=hint) from error
        os.environ["USER"] = os.environ["LOGNAME"] = "nbfed"
        tempfile.tempdir = None

    def own(self) -> None:
        """Keep other processes from working in this folder until this one ends.

        Raises:
            BadInput: another one does.
        """
        import fcntl  # not on Windows, where there are no such containers

        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)  # held until the process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput("Another process works in the scratch folder.", where=str(self.path)) from error


class Health:
    """The last sign of life in a small file, for another process to judge by; used by two threads."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        """Note an event of the link that is about the connection."""
        if event in ("connected", "disconnected", "stopped"):
            self.write(event, cause=fields.get("cause", ""))

    def beat(self) -> None:
        """Note that the server took a heartbeat."""
        self.write("connected")

    def write(self, state: str, **facts: Any) -> None:
        """Note ``state`` as of now; on a full disk the last note grows old."""
        part = self._path.with_suffix(".part")
        with self._lock, suppress(OSError):
            part.write_bytes(canonical_json({**facts, "state": state, "time": time.time()}))
            part.replace(self._path)


def read_health(path: Path) -> Mapping[str, Any]:
    """What was noted last; empty where nothing was."""
    try:
        found: Mapping[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def ailment(path: Path, now: float) -> str:
    """Why the site is not registered with its server and heartbeating now; empty where it is."""
    found = read_health(path)
    if not found:
        return "The site has not connected to the server yet."
    if found["state"] != "connected":
        return f"The site is {found['state']}: {found.get('cause', '')}"
    if now - found["time"] > _SILENCE_SECONDS:
        return f"The site's last sign of life is {now - found['time']:.0f} seconds old."
    return ""
