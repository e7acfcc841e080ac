"""What `nbfed build` was asked for, and the base image and exact versions that it settles."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nbfed_site.contracts import Manifest, SettingsInvalid

from . import locking
from .image.shapes import Platform
from .locking import Lock, Needs, Sources, Target

if TYPE_CHECKING:
    from .image.base_image import BaseImage
    from .image.cache import Cache
    from .image.registry.client import Registry

LockState = Literal["made", "unchanged", "renewed"]


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What was asked for; at least one of ``push``, ``output``, ``load`` and the exports.

    Attributes:
        push: repository to push to: ``registry/name``.
        tag: default: twelve digits that stand for everything the images are made from.
        replace: move a tag that names another image.
        output: folder (OCI image layout) or ``.tar`` file to write.
        load: ``docker`` or ``podman`` of this machine, or ``auto``.
        name: repository name inside ``output`` and ``load``; default: that of ``push``, else the notebook's.
        base: base image; default: the lock's, else the official slim Python image.
        platform: ``linux/amd64`` or ``linux/arm64``.
        torch: variant of torch for the client: ``cpu``, ``cu128``, ...; default: the lock's, else ``cpu``.
        wheels: folders (or flat pages) of wheels. indexes: further package indexes.
        default_index: package index instead of PyPI.
        lock: lock file; default: beside the notebook.
        locked: refuse a lock that does not fit instead of renewing it.
        update: settle all versions anew.
        root_certificates: PEM file of a private authority of the registry.
        signing_key: default: the user's own, made at first use.
        export_dockerfile, export_github: folders to write to.
    """

    push: str | None = None
    tag: str | None = None
    replace: bool = False
    output: Path | None = None
    load: Literal["docker", "podman", "auto"] | None = None
    name: str | None = None
    base: str | None = None
    platform: str = "linux/amd64"
    torch: str | None = None
    wheels: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    default_index: str | None = None
    lock: Path | None = None
    locked: bool = False
    update: bool = False
    root_certificates: Path | None = None
    signing_key: Path | None = None
    export_dockerfile: Path | None = None
    export_github: Path | None = None

    @property
    def sources(self) -> Sources:
        """Where wheels come from."""
        return Sources(self.wheels, self.indexes, self.default_index)

    @property
    def images(self) -> bool:
        """Whether images are asked for, not only files to build them elsewhere."""
        return any((self.push, self.output, self.load))

    @property
    def files(self) -> bool:
        """Whether files for other builders are asked for."""
        return any((self.export_dockerfile, self.export_github))


@dataclass(frozen=True, slots=True)
class Settled:
    """A lock that fits, where it lies, and what had to be done for it."""

    lock: Lock
    path: Path
    state: LockState
    base: BaseImage


def settle(
    manifest: Manifest, path: Path, asked: BuildOptions, cache: Cache, connect: Callable[[str], Registry]
) -> Settled:
    """Base image and exact versions: from the lock at ``path``, which is renewed where it does not fit.

    Raises:
        LockMismatch: the lock does not fit, and ``locked`` forbids to renew it.
        LockUnsolvable: no set of wheels satisfies every requirement.
        BaseUnsuitable: the base image has no Python that fits, or is for another platform.
        CannotConnect: registry or package index cannot be reached.
    """
    from .image import base_image

    known = locking.read(path) if path.exists() else None
    needs = needs_of(manifest)
    reference = asked.base or (known and known.target.base) or base_image.default_base(_author_python())
    base = base_image.resolve(reference, _platform(asked.platform), cache, connect)
    torch = asked.torch or (known.target.torch if known else "cpu")
    target = Target(base.python.version, asked.platform, torch, base.reference)
    if asked.locked:
        return Settled(
            locking.located(_required(known, path, needs, target), asked.sources), path, "unchanged", base
        )
    if known is not None and not asked.update and locking.fits(known, needs, target):
        fresh = locking.restamped(known, needs)
        if fresh != known:
            locking.write(fresh, path)
        return Settled(locking.located(fresh, asked.sources), path, "unchanged", base)
    fresh = locking.lock(needs, target, asked.sources, None if asked.update else known)
    locking.write(fresh, path)
    return Settled(fresh, path, "renewed" if known else "made", base)


def _required(known: Lock | None, path: Path, needs: Needs, target: Target) -> Lock:
    if known is None:
        hint = "Build once without --locked, and keep the lock with the notebook."
        raise locking.LockMismatch("There is no lock yet.", where=str(path), hint=hint)
    locking.require(known, needs, target)
    return known


def needs_of(manifest: Manifest) -> Needs:
    """What both images of a slice need: their own runtime, and for the client what the slice imports."""
    server, client = locking.runtime_requirements("server"), locking.runtime_requirements("client")
    requirements: dict[locking.Role, tuple[str, ...]] = {
        "server": server,
        "client": (*client, *manifest.requirements),
    }
    return Needs(requirements, manifest.notebook_digest, manifest.slice_digest)


def _platform(text: str) -> Platform:
    system, _, architecture = text.partition("/")
    if system != "linux" or architecture not in ("amd64", "arm64"):
        raise SettingsInvalid(f"Images cannot be made for {text!r}.", hint="Use linux/amd64 or linux/arm64.")
    return Platform(system, architecture)


def _author_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
