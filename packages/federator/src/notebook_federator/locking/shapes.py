"""The nouns of this room: what is asked for, where wheels come from, and the lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["server", "client"]


@dataclass(frozen=True, slots=True)
class Target:
    """What the images run on.

    Attributes:
        python: version of the base image's interpreter, ``3.11``.
        platform: ``linux/amd64`` or ``linux/arm64``.
        torch: variant of torch in the client image: ``cpu``, ``cu128``, ... as `uv` names its torch backends.
        base: the base image, by digest: ``registry/repository@sha256:...``.
    """

    python: str
    platform: str
    torch: str
    base: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What is to be locked.

    Attributes:
        requirements: requirement lines (PEP 508) of each role; what both need stands in both.
        notebook_digest, slice_digest: what the client's requirements were read from.
    """

    requirements: Mapping[Role, tuple[str, ...]]
    notebook_digest: str
    slice_digest: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Where wheels come from, beyond `uv`'s and pip's own configuration.

    Attributes:
        wheels: folders (or flat pages) of wheels, ``--wheels``.
        indexes: further package indexes, ``--index``; the first that has a package wins.
        default_index: instead of the Python Package Index, ``--default-index``.
    """

    wheels: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    default_index: str | None = None


@dataclass(frozen=True, slots=True)
class LockedWheel:
    """One wheel, exactly; ``size`` in bytes, ``url`` is ``https://`` or ``file://``.

    Where it lies does not make it another wheel: ``url`` is not compared.
    """

    name: str
    version: str
    filename: str
    url: str = field(compare=False)
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Lock:
    """The exact wheels of both images; ``packages`` sorted by name, ``roles`` name those of each image."""

    target: Target
    needs: Needs
    packages: tuple[LockedWheel, ...]
    roles: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)

    def wheels(self, role: Role) -> tuple[LockedWheel, ...]:
        """The wheels of one image, sorted by name."""
        names = frozenset(self.roles[role])
        return tuple(wheel for wheel in self.packages if wheel.name in names)
