"""The server's own look at an update: a site that was tampered with must not spoil the model."""

from __future__ import annotations

from collections.abc import Sequence

from nbfed_site.contracts import (
    ArraySpec,
    ReleasePolicy,
    ReleaseRefused,
    RoundOutput,
    SiteFailure,
    UpdateRefused,
)
from nbfed_site.release import release


def screen_update(
    output: RoundOutput, specs: Sequence[ArraySpec], policy: ReleasePolicy
) -> SiteFailure | None:
    """Why ``output`` is not taken; None where it keeps the rules that every site keeps itself."""
    try:
        release(output, specs, policy)
    except ReleaseRefused as error:
        return SiteFailure(
            UpdateRefused.code,
            f"The server refused it: {error.what}",
            hint="The site's release policy should have held it back: its image may have been changed.",
        )
    if output.kind == "train" and output.arrays is None:
        return SiteFailure(UpdateRefused.code, "The server refused it: it holds no arrays.")
    return None
