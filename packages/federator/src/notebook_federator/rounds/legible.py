"""Words of a site, before people read them: a terminal obeys what it is sent."""

from __future__ import annotations

import re
from typing import Any

# control characters but for tab and line feed, and those that turn the direction of writing
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def legible(value: Any) -> Any:
    """A JSON value with a mark (U+FFFD) in the place of each sign in its texts that cannot be seen.

    Raises:
        RecursionError: it is too deep.
    """
    if isinstance(value, str):
        return _UNSEEN.sub("\ufffd", value)
    if isinstance(value, dict):
        return {legible(name): legible(part) for name, part in value.items()}
    return [legible(part) for part in value] if isinstance(value, list) else value
