"""Whether a lock belongs to what is built, and its new stamp where only the notebook's text changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields, replace

from .errors import LockMismatch
from .shapes import Lock, Needs, Target

_HINT = "Build once without --locked to write the lock again, and look at what changed in it."


def tidy(needs: Needs) -> Needs:
    """The same needs, each role's requirements sorted and without repetition."""
    return replace(needs, requirements={role: _sorted(needs, role) for role in sorted(needs.requirements)})


def fits(lock: Lock, needs: Needs, target: Target) -> bool:
    """Whether the same requirements for the same target were locked; the digests may differ."""
    return not any(_differences(lock, needs, target))


def restamped(lock: Lock, needs: Needs) -> Lock:
    """The same versions, stamped with the digests of ``needs``; for a lock that fits them."""
    return replace(lock, needs=tidy(needs))


def require(lock: Lock, needs: Needs, target: Target) -> None:
    """Nothing, where the lock is for exactly this notebook, slice and target.

    Raises:
        LockMismatch: it is not; the message says in what it differs.
    """
    found = [*_differences(lock, needs, target), *_other_digests(lock, needs)]
    if found:
        raise LockMismatch("The lock does not fit: " + "; ".join(found) + ".", hint=_HINT)


def identity(lock: Lock) -> str:
    """``sha256:...`` over what the lock installs where: equal on every machine, whatever the URLs."""
    target = lock.target
    plain = {
        "target": [target.python, target.platform],
        "packages": [[wheel.filename, wheel.sha256] for wheel in lock.packages],
        "roles": {role: list(names) for role, names in lock.roles.items()},
    }
    text = json.dumps(plain, separators=(",", ":"), sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _differences(lock: Lock, needs: Needs, target: Target) -> Iterator[str]:
    for field in fields(Target):
        locked, asked = getattr(lock.target, field.name), getattr(target, field.name)
        if locked != asked:
            yield f"it was made for {field.name} {locked}, not {asked}"
    for role in sorted({*lock.needs.requirements, *needs.requirements}):
        locked, asked = (set(_sorted(each, role)) for each in (lock.needs, needs))
        for line in sorted(asked - locked):
            yield f"{line} of the {role} image is not in it"
        for line in sorted(locked - asked):
            yield f"it holds {line}, which the {role} image no longer needs"


def _other_digests(lock: Lock, needs: Needs) -> Iterator[str]:
    if lock.needs.notebook_digest != needs.notebook_digest:
        yield "the notebook changed since"
    if lock.needs.slice_digest != needs.slice_digest:
        yield "the slice changed since"


def _sorted(needs: Needs, role: str) -> tuple[str, ...]:
    lines = next((lines for known, lines in needs.requirements.items() if known == role), ())
    return tuple(sorted({" ".join(line.split()) for line in lines}))
