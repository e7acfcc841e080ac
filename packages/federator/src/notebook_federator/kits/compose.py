"""The site's container for Docker Compose and for Docker Swarm."""

from __future__ import annotations

from collections.abc import Iterable

from .container import (
    DATA,
    HEALTHY,
    KIT,
    PASSED_ON,
    PROCESSES,
    SCRATCH,
    SHARED_MEMORY,
    STOP_SECONDS,
    TOKEN_FILE,
    USER,
    SiteContainer,
)
from .texts import filled, listed, template

_ABOUT_DATA = "#   NBFED_DATA     folder with this site's data; the container can only read it\n"
_SET_DATA = "#   export NBFED_DATA=/path/to/data     its folder on that node\n"
_DATA = f"""\
      - type: bind
        source: ${{NBFED_DATA:?set NBFED_DATA to the folder with the data of this site}}
        target: {DATA}
        read_only: true
"""


def compose_files(container: SiteContainer) -> dict[str, bytes]:
    """``compose.yml``, and for an image with NVIDIA's libraries ``compose.gpu.yml``: name -> bytes."""
    gpu, reads = container.image.gpu, container.image.reads_data
    text = filled(
        template("compose.yml"),
        **_both(container),
        files=" -f compose.yml -f compose.gpu.yml" if gpu else "",
        folder="/path/to/data" if reads else "",
        about_data=_ABOUT_DATA * reads,
        shm=SHARED_MEMORY,
    )
    found = {"compose.yml": text}
    return found | ({"compose.gpu.yml": template("compose.gpu.yml").encode()} if gpu else {})


def stack_file(container: SiteContainer, names: Iterable[str]) -> bytes:
    """``stack.yml`` for Swarm.

    Swarm never changes a config or secret in place: each has the token's id in its name, as each kit has
    another.

    Args:
        container: the site's.
        names: of the kit's files that the container gets, but for the token.
    """
    names, token = sorted(names), container.kit.token
    configs = (f"\n      - source: {name}\n        target: {KIT}/{name}" for name in names)
    files = (f"\n  {name}:\n    name: nbfed-{token}-{name}\n    file: ./{name}" for name in names)
    return filled(
        template("stack.yml"),
        **_both(container),
        setting=_SET_DATA * container.image.reads_data,
        user=USER,
        token=token,
        secret=TOKEN_FILE,
        configs="".join(configs),
        config_files="".join(files),
        shm_bytes=int(SHARED_MEMORY.removesuffix("g")) << 30,
    )


def _both(container: SiteContainer) -> dict[str, object]:
    """The values that both templates have."""
    return {
        "site": container.kit.site,
        "federation": container.kit.federation,
        "name": container.name,
        "image": container.runnable,
        "stop": STOP_SECONDS,
        "processes": PROCESSES,
        "environment": "".join(f"\n      {name}:" for name in PASSED_ON),
        "data": _DATA * container.image.reads_data,
        "kit_folder": KIT,
        "scratch_folder": SCRATCH,
        "healthy": listed(["CMD", *HEALTHY]),
    }
