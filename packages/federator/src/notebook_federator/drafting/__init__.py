"""Drafts the data contract of a federation from its notebook, whose code is read and never run."""

from .drafting import FEWEST, Draft, draft_contract

__all__ = ["FEWEST", "Draft", "draft_contract"]
