"""What each party is handed: the kit of a site, and the way to run it and the server in containers."""

from .issuing import IssuedKit, Wishes, issue
from .server import server_compose

__all__ = ["IssuedKit", "Wishes", "issue", "server_compose"]
