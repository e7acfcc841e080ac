"""A framework's model as named NumPy arrays, read and changed in place."""

from .adapter import ModelAdapter, adapt, require_match
from .wire import decode_bf16, encode_bf16

__all__ = ["ModelAdapter", "adapt", "decode_bf16", "encode_bf16", "require_match"]
