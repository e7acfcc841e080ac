"""An error that happened in another process, raised again in this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nbfed_site.contracts import NbfedError


def error_from_event(event: Mapping[str, Any]) -> NbfedError | None:
    """The error that a ``stopped`` event tells of; None where the run was stopped on request."""
    if not event["code"]:
        return None
    kinds = {kind.code: kind for kind in _tree(NbfedError)}
    return kinds.get(event["code"], NbfedError)(event["what"], where=event["where"], hint=event["hint"])


def _tree(kind: type[NbfedError]) -> Iterator[type[NbfedError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)
