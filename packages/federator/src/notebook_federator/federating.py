"""From a built notebook to its federation, and the coordinator's decisions about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import Manifest, ReleasePolicy, SettingsInvalid

from . import api, image_record
from .drafting import draft_contract
from .federation import settings_editing
from .federation.decisions import Changed, add_sites, order, remove_site, waive
from .federation.edits import settled
from .federation.federation_folder import FederationFolder, write
from .federation.federation_settings import FederationSettings, Images, RoundWishes
from .federation.federation_toml import parse_settings
from .federation.membership import Membership
from .federation.resolving import resolve
from .federation.retention import expire
from .federation.settings import RunSettings

if TYPE_CHECKING:
    from .slicing import Slice

__all__ = ["Changed", "add_sites", "begin", "expire", "order", "remove_site", "renew", "waive"]

_MANY = 1000  # more sites than any quorum asks for


def begin(
    notebook: Path, server: str, out: Path | None, images: Path | None, now: datetime, **wishes: Any
) -> Changed:
    """Make the folder of a new federation.

    Args:
        notebook: built already. images: record of its images; default: the one beside it.
        server: ``https://HOST:PORT``, as sites will call it.
        out: folder to make; default: ``NOTEBOOK-federation``.
        now: UTC.
        **wishes: fields of ``FederationSettings``, ``RoundWishes`` and ``ReleasePolicy`` with other values
            than their defaults.

    Raises:
        NotebookBlocked: findings stand in the way.
        BadInput: the images are not built, or a wish has no meaning.
        FederationUnreadable: there is a federation in the folder already.
    """
    cut = api.sliced(api.check(notebook))
    settings, notes = _drafted(cut, notebook, server, _images(cut.manifest, notebook, images), wishes)
    folder = FederationFolder(out or Path(f"{notebook.stem}-federation"))
    parse_settings(settings_editing.text_of(settings), folder.settings_file)
    run = _checked(settings, cut.manifest)
    own = replace(settings.rounds, rounds=run.rounds, epochs=run.epochs, quorum=run.quorum)
    settings = replace(settings, rounds=own)
    folder.create(settings, settings_editing.text_of(settings).encode(), cut.manifest, now)
    _compose(folder, settings)
    with folder.locked():
        _, membership = settled(folder, now)
    done = (f"Made the federation {settings.name} in {folder.path}.",)
    return Changed(folder, membership, done, notes, "nbfed federation add-site hospital-a")


def _images(manifest: Manifest, notebook: Path, named: Path | None) -> Images:
    """The images of a notebook as it is now.

    Raises:
        BadInput: they are not built, or the notebook has changed since.
    """
    path = named or image_record.path_beside(notebook)
    found = image_record.read(path)
    same = (found.notebook_digest, found.slice_digest) == (manifest.notebook_digest, manifest.slice_digest)
    if not same:
        raise SettingsInvalid(
            f"{notebook.name} has changed since its images were built.",
            where=str(path),
            hint=f"Build them anew: nbfed build {notebook} --push REGISTRY/NAME",
        )
    gpu = found.torch.startswith("cu")
    return Images(
        found.server, found.client, found.notebook_digest, found.slice_digest, gpu=gpu, key=found.key
    )


def _drafted(
    cut: Slice, notebook: Path, server: str, images: Images, wishes: Mapping[str, Any]
) -> tuple[FederationSettings, tuple[str, ...]]:
    """Settings as asked for, else as the notebook says; and what to look at in the data contract."""
    policy = ReleasePolicy(**_given(_names(ReleasePolicy), wishes))
    draft = draft_contract(cut, policy.min_examples)
    top = {"name": notebook.stem, **_given(("name", "contact", "retention_days"), wishes)}
    settings = FederationSettings(
        **top,
        server=server,
        images=images,
        rounds=RoundWishes(**_given(_names(RoundWishes), wishes)),
        policy=policy,
        data=draft.contract,
    )
    return settings, draft.notes


def _given(names: Iterable[str], wishes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: wishes[name] for name in names if wishes.get(name) is not None}


def _names(kind: Any) -> list[str]:
    return [item.name for item in dataclasses.fields(kind)]


def _checked(settings: FederationSettings, manifest: Manifest) -> RunSettings:
    """What a run would be like; refuses settings that no number of sites could be trained with.

    Raises:
        SettingsInvalid: says which and why.
    """
    from .aggregation import make_strategy

    run = resolve(settings.options(tuple(f"site-{n}" for n in range(1, _MANY))), manifest, cores=1)
    make_strategy(run.strategy)
    return run


def _compose(folder: FederationFolder, settings: FederationSettings) -> None:
    """Write the server's compose file; the container runs as the folder's owner."""
    from .kits.server import server_compose

    owner = folder.path.stat()
    for name, data in server_compose(settings, owner.st_uid, owner.st_gid).items():
        write(folder.path / name, data)


def renew(folder: FederationFolder, notebook: Path, images: Path | None, now: datetime) -> Changed:
    """Have the federation use the images that its notebook has now; every site needs a new kit then.

    Raises:
        NotebookBlocked, BadInput: as :func:`begin`.
    """
    cut = api.sliced(api.check(notebook))
    found = _images(cut.manifest, notebook, images)
    with folder.locked():
        before, _ = settled(folder, now)
        _checked(replace(before, images=found), cut.manifest)
        folder.write_manifest(cut.manifest)
        settings = settings_editing.change(folder.settings_file, images=found)
        _compose(folder, settings)
        _, membership = settled(folder, now)
    if settings.images == before.images:
        return Changed(folder, membership, ("The federation uses these images already.",))
    return Changed(folder, membership, ("The federation uses the new images.",), _next_kits(membership))


def _next_kits(membership: Membership) -> tuple[str, ...]:
    names = [site.name for site in membership.members if site.outdated]
    return tuple(f"{name} needs a new kit: nbfed kit {name}" for name in names)
