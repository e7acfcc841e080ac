"""What each party is handed: the kit of a site, and the way to run it and the server in containers."""

from .server import server_compose

__all__ = ["server_compose"]
