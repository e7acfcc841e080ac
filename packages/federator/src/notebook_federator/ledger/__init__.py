"""The record of who did what in which round, kept so that any later change shows."""

from .ledger import GENESIS, Entry, Ledger
from .signing import Signer, is_signed, is_text_signed

__all__ = ["GENESIS", "Entry", "Ledger", "Signer", "is_signed", "is_text_signed"]
