"""Client of the OCI distribution specification 1.1: pulling, pushing, mounting, referrers."""

from .client import Fetched, Registry
from .content import RegistryContent
from .reference import Reference, parse

__all__ = ["Fetched", "Reference", "Registry", "RegistryContent", "parse"]
