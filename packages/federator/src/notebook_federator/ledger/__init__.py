"""The record of who did what in which round, kept so that any later change shows."""

from .ledger import Entry, Ledger

__all__ = ["Entry", "Ledger"]
