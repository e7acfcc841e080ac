"""From a checked notebook to its two images, where they were asked for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbfed_site.contracts import SettingsInvalid

from . import image_record, locking, slicing
from .image import attaching, building, signing
from .image.attaching import Attached
from .image.cache import Cache, user_cache
from .image.errors import BlobDamaged, ReferenceInvalid
from .image.meter import Progress
from .image.pushing import Push, layers_repository
from .image.registry.client import Registry, connections
from .image.registry.reference import Reference, parse
from .image.runtime_files import runtime_version
from .image.shapes import ROLES, TITLES, BuiltImage, Layer, Role
from .settling import BuildOptions, Settled, settle

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from .image.stripping import LeftOut
    from .slicing import Slice

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Built:
    """Two images, and where they are now.

    Attributes:
        images: the server's and the client's; none where only files were exported.
        names: the name of each image: ``registry/name:client-tag``.
        settled: lock and base that they were made with.
        left_out: what of the wheels the images do not hold, and why.
        places: how and where: ``("pushed", "ghcr.io/me/model")``, ``("wrote", "images.tar")``.
        signed_by: fingerprint of the key that signed the images.
    """

    images: tuple[BuiltImage, ...]
    names: Mapping[Role, str]
    settled: Settled
    left_out: tuple[LeftOut, ...]
    places: tuple[tuple[str, str], ...]
    signed_by: str | None


@dataclass(frozen=True, slots=True)
class _Work:
    """One build: what from, where to, and with what."""

    notebook: Path
    source: building.Source
    repository: Reference
    tag: str | None
    asked: BuildOptions
    settled: Settled
    cache: Cache
    connect: Callable[[str], Registry]
    progress: Progress


def build(slice_: Slice, notebook: Path, asked: BuildOptions, progress: Progress) -> Built:
    """Make both images of a slice, and bring them to where they were asked for.

    Raises:
        SettingsInvalid: nothing says where to.
        ReferenceInvalid: a name is not one that registries know.
        NbfedError: whatever lock, registry, cache or engine have to say.
    """
    repository, tag = _destination(asked, notebook)
    cache, connect = user_cache(), connections(asked.root_certificates)
    path = asked.lock or locking.path_beside(notebook)
    settled = settle(slice_.manifest, path, asked, cache, connect)
    source = building.source(slice_.manifest, slicing.files(slice_), settled.lock, settled.base)
    work = _Work(notebook, source, repository, tag, asked, settled, cache, connect, progress)
    try:
        return _deliver(work)
    except BlobDamaged:
        if not building.drop_damaged(source, cache):
            raise
        return _deliver(work)


def _destination(asked: BuildOptions, notebook: Path) -> tuple[Reference, str | None]:
    """The repository that names the images, and the tag that was asked for."""
    if not (asked.images or asked.files):
        hint = "Add --push REGISTRY/NAME, --output FOLDER, --output FILE.tar, or --load auto."
        raise SettingsInvalid("Nothing says where the images go.", hint=hint)
    text = asked.push or asked.name or f"localhost/{_plain(notebook.stem)}"
    found = parse(text)
    if found.digest:
        raise ReferenceInvalid("An image is not pushed to a digest.", where=text, hint="Write REGISTRY/NAME.")
    tag = asked.tag or found.tag
    if tag and not _TAG.fullmatch(tag):
        hint = "Use up to 100 letters, digits, dots, hyphens and underscores."
        raise ReferenceInvalid(f"{tag!r} cannot be part of a tag.", where="--tag", hint=hint)
    return Reference(found.registry, found.repository, None, None), tag


def _plain(name: str) -> str:
    """A notebook's name as a repository may be called."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "notebook"


def _deliver(work: _Work) -> Built:
    """Make the images and bring them to every place; a layer is on its way as soon as it is made."""
    asked = work.asked
    places = [("wrote", str(path)) for path in _exported(work)]
    if not asked.images:
        return Built((), {}, work.settled, (), tuple(places), None)
    key = signing.private_key(asked.signing_key or signing.user_key())
    with _push(work) if asked.push else nullcontext() as push:
        known, ready = (push.known, push.add) if push else (_unknown, _nowhere)
        images = building.build(work.source, work.cache, known, ready, work.progress)
        tags = {image.role: f"{image.role}-{work.tag or building.default_tag(images)}" for image in images}
        names = {role: f"{work.repository}:{tag}" for role, tag in tags.items()}
        attached = _completed(work, push, images, tags, key)
    if asked.push:
        places.append(("pushed", str(work.repository)))
    places += _kept(work, images, names, attached)
    public = signing.public_pem(key)
    places.append(("recorded", str(_recorded(work, images, names, public))))
    left_out = building.left_out(work.source, work.cache)
    return Built(images, names, work.settled, left_out, tuple(places), attached[0].signature.key)


def _recorded(work: _Work, images: Sequence[BuiltImage], names: Mapping[Role, str], key: bytes) -> Path:
    """Write down which images these are, for the federation that will use them."""
    path = image_record.path_beside(work.notebook)
    torch = work.settled.lock.target.torch
    made = image_record.record(images, names, work.source.manifest, torch=torch, key=key)
    image_record.write(made, path)
    return path


def _push(work: _Work) -> Push:
    name = work.repository.repository
    registry = work.connect(work.repository.registry)
    return Push(registry, name, layers_repository(name, registry.name), work.progress)


def _completed(
    work: _Work,
    push: Push | None,
    images: Sequence[BuiltImage],
    tags: Mapping[Role, str],
    key: EllipticCurvePrivateKey,
) -> list[Attached]:
    """Push what is left of the images, and their tags; make and send what goes beside them meanwhile."""
    if push is None:
        return [_attached(work, image, key) for image in images]
    registry, name = work.connect(work.repository.registry), work.repository.repository
    with ThreadPoolExecutor(len(images) + 1, "finish") as pool:
        replace = work.asked.replace
        steps = [pool.submit(push.finish, image, tags[image.role], replace=replace) for image in images]
        attached = [_attached(work, image, key) for image in images]
        sent = pool.submit(attaching.send, registry, name, attached)
        for step in steps:
            step.result()
    attaching.store(registry, name, sent.result())
    return attached


def _unknown(key: str) -> None:
    """No registry is asked for layers."""


def _nowhere(layer: Layer) -> None:
    """A layer that is not pushed."""


def _attached(work: _Work, image: BuiltImage, key: EllipticCurvePrivateKey) -> Attached:
    document = attaching.bill_of_materials(work.source.lock, image.role, work.cache)
    return attaching.attached(image, document, str(work.repository), key)


def _kept(
    work: _Work, images: Sequence[BuiltImage], names: Mapping[Role, str], attached: Sequence[Attached]
) -> list[tuple[str, str]]:
    """Write and load on this machine what was asked for; how and where."""
    manifests = [manifest for item in attached for manifest in item.manifests]
    asked, places = work.asked, []
    if asked.output:
        from .image import layout

        write = layout.write_tar if asked.output.suffix == ".tar" else layout.write_folder
        write(images, names, asked.output, work.progress, manifests)
        places.append(("wrote", str(asked.output)))
    if asked.load:
        from .image import engines

        engines.load(images, names, None if asked.load == "auto" else asked.load, work.progress)
        places.append(("loaded", f"{asked.load}: {', '.join(names.values())}"))
    return places


def _exported(work: _Work) -> list[Path]:
    """Write the files that were asked for, for those who build elsewhere."""
    asked, found = work.asked, []
    if asked.export_dockerfile:
        from .image.exports.requirements import local_wheels
        from .image.wheels import fetch

        for role in ROLES:
            folder = asked.export_dockerfile / TITLES[role]
            found.append(_written(folder, building.context(work.source, role)))
            for wheel in local_wheels(work.source.lock, role):
                path = fetch(wheel, work.cache, work.progress)
                shutil.copyfile(path, folder / "wheelhouse" / wheel.filename)
    if asked.export_github:
        from .image.exports import github

        root = asked.export_github.resolve()
        notebook, lock = (_inside(path, root) for path in (work.notebook, work.settled.path))
        workflow = {github.workflow_path(notebook): github.workflow(notebook, lock, runtime_version())}
        found.append(_written(root, workflow))
    return found


def _inside(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root).as_posix()
    except ValueError:
        raise SettingsInvalid(
            "Notebook and lock must lie in the checkout that the workflow goes into.",
            where=f"{path} is not below {root}",
            hint="Name the root of their repository: --export-github DIR",
        ) from None


def _written(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
