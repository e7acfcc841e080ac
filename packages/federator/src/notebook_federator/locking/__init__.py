"""Imports to distributions to an exact, hashed lock."""

from .errors import IndexUnreachable, LockMismatch, LockUnsolvable
from .files import path_beside, read, write
from .fitting import fits, identity, require, restamped
from .locating import located
from .resolving import lock
from .runtime import runtime_requirements
from .shapes import Lock, LockedWheel, Needs, Role, Sources, Target

__all__ = [
    "IndexUnreachable",
    "Lock",
    "LockMismatch",
    "LockUnsolvable",
    "LockedWheel",
    "Needs",
    "Role",
    "Sources",
    "Target",
    "fits",
    "identity",
    "located",
    "lock",
    "path_beside",
    "read",
    "require",
    "restamped",
    "runtime_requirements",
    "write",
]
