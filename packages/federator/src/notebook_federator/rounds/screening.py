"""The server's own look at a reply: a site that was tampered with must not spoil the model or the record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nbfed_site.contracts import (
    ArraySpec,
    ReleasePolicy,
    ReleaseRefused,
    RoundOutput,
    SiteCard,
    SiteFailure,
    UpdateRefused,
)
from nbfed_site.release import release

from .port import Replied

_TAMPERED = "The site should have held it back: its image may have been changed."


@dataclass(slots=True)
class Screening:
    """Says why a reply is not taken.

    Attributes:
        policy: the federation's release policy.
        specs: the model's arrays; empty until they are known.
    """

    policy: ReleasePolicy
    specs: Sequence[ArraySpec] = ()

    def __call__(self, reply: Replied) -> SiteFailure | None:
        """Why ``reply`` is not taken; None where it keeps the rules that every site keeps itself."""
        why = _oddity(reply.output) or self._breach(reply.output)
        if not why:
            return None
        return SiteFailure(UpdateRefused.code, f"The server refused it: {why}", hint=_TAMPERED)

    def _breach(self, output: RoundOutput) -> str:
        """How ``output`` breaks the release policy; a canary's arrays are thrown away unread."""
        if output.kind == "canary" or (output.kind == "initialise" and not self.specs):
            return ""
        try:
            release(output, self.specs, self.policy)
        except ReleaseRefused as error:
            return error.what
        return ""


def _oddity(output: RoundOutput) -> str:
    """What no honest site sends."""
    numbers = [*output.seconds.values()]
    if not all(isinstance(value, int | float) and math.isfinite(value) and value >= 0 for value in numbers):
        return "it holds seconds that are not numbers."
    if output.kind == "canary" and "round" not in output.seconds:
        return "the canary does not say how long a round will take."
    if output.kind in ("train", "initialise") and output.arrays is None:
        return "it holds no arrays."
    if output.kind == "evaluate" and output.evaluation is None:
        return "it holds no evaluation."
    if output.kind == "describe" and (output.card is None or not _is_plain(output.card)):
        return "it holds no card of counts."
    return ""


def _is_plain(card: SiteCard) -> bool:
    counts = [
        *card.samples.values(),
        *card.unreadable.values(),
        *(count for split in card.classes.values() for count in split.values()),
    ]
    sentences = (*card.warnings, *card.unfit)
    return all(type(count) is int and count >= 0 for count in counts) and all(
        isinstance(text, str) for text in sentences
    )
