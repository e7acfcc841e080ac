"""Which of several wheels of one version an installer would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .shapes import LockedWheel, Target

if TYPE_CHECKING:
    from packaging.tags import Tag

_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""Names of the same platforms before PEP 600."""


def best(wheels: Sequence[LockedWheel], target: Target) -> LockedWheel:
    """The wheel whose tags come first for the target; `uv` lists only wheels that fit at all."""
    from packaging.utils import parse_wheel_filename

    ranks = tag_ranks(target)

    def order(wheel: LockedWheel) -> tuple[int, tuple[int, str], str]:
        _, _, build, tags = parse_wheel_filename(wheel.filename)
        rank = min(ranks.get(tag, len(ranks)) for tag in tags)
        return rank, (-build[0], build[1]) if build else (0, ""), wheel.filename

    return min(wheels, key=order)


def tag_ranks(target: Target, glibc: int = 28) -> dict[Tag, int]:
    """The tags that wheels for ``target`` may have, the best first (PEP 425, PEP 600)."""
    from packaging.tags import compatible_tags, cpython_tags

    from .files import MACHINES

    machine = MACHINES[target.platform]
    platforms = []
    for minor in range(glibc, 4, -1):
        platforms.append(f"manylinux_2_{minor}_{machine}")
        platforms += [f"{_OLD_NAMES[minor]}_{machine}"] if minor in _OLD_NAMES else []
    platforms.append(f"linux_{machine}")
    version = tuple(int(part) for part in target.python.split(".")[:2])
    interpreter = "cp" + "".join(map(str, version))
    own = cpython_tags(version, [interpreter], platforms)
    tags = [*own, *compatible_tags(version, interpreter, platforms)]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}
