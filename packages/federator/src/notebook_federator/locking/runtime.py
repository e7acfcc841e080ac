"""What the images need whatever the notebook says."""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path

from nbfed_site.contracts import SettingsInvalid

from .shapes import Role

SERVER_ROOMS = ("aggregation", "federation", "ledger", "rounds")
"""The rooms that run in the server image."""
_OF_THE_SERVER = frozenset({"cryptography", "numpy", "safetensors", "uvicorn"})
_HEADER = re.compile(r"^Requires-Dist:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def normalised(name: str) -> str:
    """A distribution name as indexes compare it (PEP 503); extras and versions after it are dropped."""
    match = _NAME.match(name)
    return re.sub(r"[-_.]+", "-", match[0] if match else name).lower()


def runtime_requirements(role: Role) -> tuple[str, ...]:
    """The requirement lines of the runtime in one image, from the installed packages' own metadata.

    Sites run `nbfed-site`; the server runs it too, and :data:`SERVER_ROOMS` of this package.
    """
    found = list(_required("nbfed-site"))
    if role == "server":
        ours = _required("notebook-federator")
        found += [line for line in ours if normalised(line) in _OF_THE_SERVER]
    return tuple(sorted(dict.fromkeys(found)))


@functools.cache
def _required(distribution: str) -> tuple[str, ...]:
    """What a distribution needs without any of its extras."""
    lines = _HEADER.findall(_metadata(distribution).partition("\n\n")[0])
    return tuple(line for line in lines if not re.search(r";.*\bextra\s*==", line))


def _metadata(distribution: str) -> str:
    """A distribution's core metadata, as its wheel's installer wrote them.

    Read as a file: ``importlib.metadata`` brings along twenty modules that a build has no other use for.
    """
    pattern = f"{distribution.replace('-', '_')}-*.dist-info/METADATA"
    found = next((path for entry in sys.path for path in Path(entry).glob(pattern)), None)
    if found is None:
        hint = "Install Notebook Federator with pip or uv: `pip install notebook-federator`."
        raise SettingsInvalid(f"{distribution} is not installed as a package.", hint=hint)
    return found.read_text("utf-8")
