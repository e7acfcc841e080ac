"""What the images need whatever the notebook says."""

from __future__ import annotations

import functools
import re

from nbfed_site.contracts import SettingsInvalid

from .shapes import Role

SERVER_ROOMS = ("aggregation", "federation", "ledger", "rounds")
"""The rooms that run in the server image."""
_OF_THE_SERVER = frozenset({"cryptography", "numpy", "safetensors", "uvicorn"})
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
    from importlib import metadata

    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        hint = "Install Notebook Federator with pip or uv: `pip install notebook-federator`."
        raise SettingsInvalid(f"{distribution} is not installed as a package.", hint=hint) from None
    return tuple(line for line in lines if not re.search(r";.*\bextra\s*==", line))
