"""The server's container, for the coordinator's machine."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from ..image.assembling import PORT, PYTHON
from .container import PROCESSES, SCRATCH, STOP_SECONDS
from .texts import filled, listed, quoted, template

_HEALTHY = (PYTHON, "-I", "-m", "notebook_federator.federation.serving", "healthy")


class Served(Protocol):
    """What is asked of a federation's settings."""

    @property
    def name(self) -> str:
        """Name of the federation."""

    @property
    def server(self) -> str:
        """``https://HOST:PORT``, as the sites call it."""

    @property
    def server_image(self) -> str:
        """The server image by digest: ``REGISTRY/NAME@sha256:...``."""


def server_compose(settings: Served, uid: int, gid: int) -> dict[str, bytes]:
    """``compose.yml`` of a federation folder: file name -> bytes.

    The folder itself is the server's ``/scratch``; the container runs as its owner.

    Args:
        settings: of the federation.
        uid, gid: of the folder's owner.
    """
    text = filled(
        template("server.yml"),
        federation=settings.name,
        image=quoted(settings.server_image),
        user=f"{uid}:{gid}",
        outside=urlsplit(settings.server).port or 443,
        inside=PORT,
        processes=PROCESSES,
        stop=STOP_SECONDS,
        scratch=SCRATCH,
        healthy=listed(["CMD", *_HEALTHY]),
    )
    return {"compose.yml": text}
