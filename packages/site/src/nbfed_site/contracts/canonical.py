"""One byte sequence per value: canonical JSON, digests and seeds derived from them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Serialise ``value`` with sorted keys, no white space and no NaN, as UTF-8.

    Follows the spirit of RFC 8785 for the types used here (strings, integers,
    finite floats, booleans, None, lists, mappings with string keys).

    Raises:
        ValueError: a float is not finite.
        TypeError: a value is of another type.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest(data: bytes) -> str:
    """SHA-256 of ``data`` in the OCI form ``sha256:<64 hex digits>``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def json_digest(value: Mapping[str, Any]) -> str:
    """Digest of the canonical JSON of ``value``."""
    return digest(canonical_json(value))


def derive_seed(seed: int, *parts: str | int) -> int:
    """A 32-bit seed for one purpose, for example ``derive_seed(7, "hospital-a", 3)``.

    Sites and rounds get independent, reproducible random streams from one run seed.
    """
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
