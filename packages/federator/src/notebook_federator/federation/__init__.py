"""Members, settings and processes of a federation."""

from .folder import RunFolder, new_run_folder
from .local import LocalFederation
from .resolving import resolve
from .settings import Member, Options, RunSettings

__all__ = ["LocalFederation", "Member", "Options", "RunFolder", "RunSettings", "new_run_folder", "resolve"]
