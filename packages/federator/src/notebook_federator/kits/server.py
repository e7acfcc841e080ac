"""The server's container, for the coordinator's machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..image.assembling import PORT, PYTHON
from .container import PROCESSES, SCRATCH, STOP_SECONDS
from .texts import filled, listed, quoted, template

if TYPE_CHECKING:
    from ..federation.federation_settings import FederationSettings

_HEALTHY = (PYTHON, "-I", "-m", "notebook_federator.federation.serving", "healthy")


def server_compose(settings: FederationSettings, uid: int, gid: int) -> dict[str, bytes]:
    """``compose.yml`` of a federation folder: file name -> bytes.

    The folder itself is the server's ``/scratch``; the container runs as its owner.

    Args:
        settings: of the federation.
        uid, gid: of the folder's owner.
    """
    text = filled(
        template("server.yml"),
        federation=settings.name,
        image=quoted(settings.images.server),
        user=f"{uid}:{gid}",
        outside=settings.port,
        inside=PORT,
        processes=PROCESSES,
        stop=STOP_SECONDS,
        scratch=SCRATCH,
        healthy=listed(["CMD", *_HEALTHY]),
    )
    return {"compose.yml": text}
