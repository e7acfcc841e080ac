"""From a built notebook to its federation, and the coordinator's decisions about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import Manifest, ReleasePolicy, SettingsInvalid

from . import api, image_record, settings_editing
from .drafting import draft_contract
from .federation.edits import settled
from .federation.federation_folder import FederationFolder, write
from .federation.federation_settings import FederationSettings, Images, RoundWishes
from .federation.federation_toml import parse_settings
from .federation.membership import Membership
from .federation.resolving import checked_name, resolve
from .federation.settings import RunSettings

if TYPE_CHECKING:
    from .slicing import Slice

_MANY = 1000  # more sites than any quorum asks for


@dataclass(frozen=True, slots=True)
class Changed:
    """What a command did.

    Attributes:
        done: one sentence for each change; of what was so already, too.
        notes: what the coordinator should look at. upcoming: the command to give next, if any.
    """

    folder: FederationFolder
    membership: Membership
    done: tuple[str, ...]
    notes: tuple[str, ...] = ()
    upcoming: str = ""


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


def add_sites(folder: FederationFolder, names: Sequence[str], now: datetime) -> Changed:
    """Make sites members; those that are stay what they are.

    Raises:
        SettingsInvalid: a name cannot be one.
    """
    settings = folder.settings()
    new = [checked_name(name) for name in dict.fromkeys(names) if name not in settings.sites]
    settings_editing.change(folder.settings_file, sites=(*settings.sites, *new))
    _, membership = settled(folder, now)
    said = [f"{name} is a member now." if name in new else f"{name} is a member already." for name in names]
    without = [site.name for site in membership.members if not site.kit]
    upcoming = f"nbfed kit {without[0]}" if without else ""
    return Changed(folder, membership, tuple(said), upcoming=upcoming)


def remove_site(folder: FederationFolder, name: str, reason: str, now: datetime) -> Changed:
    """Take a site out; what it contributed stays in models and records.

    Raises:
        SettingsInvalid: there never was such a site.
    """
    settings, before = settled(folder, now)
    if name in before.sites and before.member(name) is None:
        return Changed(folder, before, (f"{name} was removed already.",))
    _member(before, name)
    left = tuple(site for site in settings.sites if site != name)
    settings_editing.change(folder.settings_file, sites=left)
    _, membership = settled(folder, now, {name: reason})
    return Changed(folder, membership, (f"{name} is no member any more.",))


def waive(folder: FederationFolder, name: str, reason: str, now: datetime) -> Changed:
    """Take a site's data as they are, although they miss the data contract.

    Raises:
        SettingsInvalid: there is no such member.
    """
    _, before = settled(folder, now)
    if _member(before, name).waived == reason:
        return Changed(folder, before, (f"{name} is waived already.",))
    return _recorded(
        folder, before, f"{name} is taken with its data as they are.", "waived", site=name, reason=reason
    )


def _member(membership: Membership, name: str) -> Any:
    found = membership.member(name)
    if found is None:
        known = ", ".join(site.name for site in membership.members) or "none yet"
        raise SettingsInvalid(f"{name} is not a site of this federation.", hint=f"Its sites: {known}.")
    return found


def order(folder: FederationFolder, what: str, now: datetime) -> Changed:
    """Have the server ``pause``, ``resume`` or ``stop`` its run; it hears of it within a second."""
    _, before = settled(folder, now)
    held = before.paused or before.stopped
    is_so = {"pause": before.paused, "resume": not held, "stop": before.stopped}[what]
    state = {
        "pause": "No new round begins.",
        "resume": "Rounds go on.",
        "stop": "The run ends; its finished rounds are kept.",
    }[what]
    if is_so:
        return Changed(folder, before, (f"{state} That was so already.",))
    return _recorded(folder, before, state, "ordered", order=what)


def _recorded(folder: FederationFolder, before: Membership, said: str, kind: str, **body: str) -> Changed:
    with folder.open_ledger() as ledger:
        return Changed(folder, before.after(ledger.append(kind, **body)), (said,))


def renew(folder: FederationFolder, notebook: Path, images: Path | None, now: datetime) -> Changed:
    """Have the federation use the images that its notebook has now; every site needs a new kit then.

    Raises:
        NotebookBlocked, BadInput: as :func:`begin`.
    """
    cut = api.sliced(api.check(notebook))
    found = _images(cut.manifest, notebook, images)
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
