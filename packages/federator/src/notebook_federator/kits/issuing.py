"""Makes the kit of a site: a new token, a new serial, an entry in the ledger."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbfed_site.contracts import Kit, SettingsInvalid, digest

from ..federation.edits import settled
from ..federation.federation_folder import FederationFolder
from ..federation.membership import Membership, SiteRecord
from ..image.registry.reference import Reference, parse
from . import writing
from .container import IMAGES_FILE, Image, SiteContainer
from .contents import Credentials, kit_files

if TYPE_CHECKING:
    from ..federation.federation_settings import FederationSettings


Fetch = Callable[[Reference, Path], str]
"""Writes the image of a reference to a file; gives the digest of its configuration."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What kit is asked for.

    Attributes:
        again: also where the site has joined already.
        packed: a zip instead of a folder. out: folder that it is written to; default: ``kits/``.
        fetch: brings the client image into the kit; None leaves it to the site's engine.
    """

    again: bool = False
    packed: bool = False
    out: Path | None = None
    fetch: Fetch | None = None


@dataclass(frozen=True, slots=True)
class IssuedKit:
    """A kit that was made, and where it is; ``expires`` is the end of its token (UTC, ISO 8601)."""

    path: Path
    kit: Kit
    digest: str
    expires: str
    signing_key: str


@dataclass(frozen=True, slots=True)
class _Fetched:
    """An image that was brought here, the file that it is in, and that file's digest."""

    image: Image
    path: Path
    digest: str


def issue(folder: FederationFolder, site: str, wishes: Wishes, now: datetime) -> IssuedKit:
    """Make the newest kit of a site; every older one is stale from then on.

    Other commands wait while it is made, but not while its image is fetched, which can take minutes.

    Args:
        now: UTC.

    Raises:
        SettingsInvalid: no such site, it was removed, or it has joined already.
        FederationUnreadable, BadInput, StorageFull: of the folder, the images, the disk.
        TimedOut: another command is at work.
    """
    with tempfile.TemporaryDirectory(prefix="nbfed-kit-") as making:
        fetched = None
        if wishes.fetch:
            with folder.locked():
                settings, membership = settled(folder, now)
            _member(membership, site, again=wishes.again)
            fetched = _fetched(_image(folder, settings), wishes.fetch, Path(making) / IMAGES_FILE)
        with folder.locked():
            return _issued(folder, site, wishes, fetched, now)


def _fetched(image: Image, fetch: Fetch, path: Path) -> _Fetched:
    image = replace(image, configuration=fetch(parse(image.reference), path))
    with path.open("rb") as file:
        return _Fetched(image, path, "sha256:" + hashlib.file_digest(file, "sha256").hexdigest())


def _issued(
    folder: FederationFolder, site: str, wishes: Wishes, fetched: _Fetched | None, now: datetime
) -> IssuedKit:
    settings, membership = settled(folder, now)
    member = _member(membership, site, again=wishes.again)
    authority, signer, image = folder.authority(), folder.signer(), _image(folder, settings)
    if fetched and fetched.image.reference != image.reference:
        raise SettingsInvalid("The images were renewed while one was fetched.", hint="Make the kit again.")
    token = authority.join_token(site, now)
    kit = _kit(settings, member, authority.fingerprint, token.id, now)
    credentials = Credentials(
        authority=authority.pair.certificate,
        token=token.pem,
        token_expires=token.expires,
        signing_key=signer.public_key.encode(),
        image_key=settings.images.key.encode(),
        sign=signer.sign,
    )
    container = SiteContainer(kit, fetched.image if fetched else image, settings.contact)
    files = kit_files(container, credentials, fetched.digest if fetched else "")
    path = _written(files, wishes, folder.kit(site), fetched.path if fetched else None)
    named = digest(files["kit.json"])
    facts = {"serial": kit.serial, "kit": named, "token": token.id, "expires": token.expires}
    with folder.open_ledger() as ledger:
        ledger.append("kit_issued", site=site, **facts)
    return IssuedKit(path, kit, named, token.expires, credentials.prints.signing)


def _member(membership: Membership, site: str, *, again: bool) -> SiteRecord:
    member = membership.sites.get(site)
    if member is None:
        known = ", ".join(item.name for item in membership.members) or "none yet"
        hint = f"Add it: nbfed federation add-site {site}"
        raise SettingsInvalid(f"{site} is not a site of this federation.", where=f"sites: {known}", hint=hint)
    if member.removed is not None:
        hint = f"Add it anew: nbfed federation add-site {site}"
        raise SettingsInvalid(f"{site} was removed from this federation: {member.removed}", hint=hint)
    if member.key and not (again or member.outdated):
        hint = "Add --again for a site that lost its scratch folder, or whose kit is out of date."
        raise SettingsInvalid(f"{site} has joined already.", where=f"kit {member.serial}", hint=hint)
    return member


def _kit(settings: FederationSettings, member: SiteRecord, authority: str, token: str, now: datetime) -> Kit:
    return Kit(
        federation=settings.name,
        site=member.name,
        serial=member.serial + 1,
        issued=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        server=_address(settings),
        authority=authority,
        token=token,
        image=_reference(settings),
        slice_digest=settings.images.slice_digest,
        notebook_digest=settings.images.notebook_digest,
        policy=settings.policy,
        contract=settings.data,
        wire=settings.rounds.wire,
        retention_days=settings.retention_days,
    )


def _image(folder: FederationFolder, settings: FederationSettings) -> Image:
    reads_data = any(item.meaning == "data_path" for item in folder.manifest().parameters)
    return Image(_reference(settings), settings.images.gpu, reads_data)


def _reference(settings: FederationSettings) -> str:
    """The client image by digest alone, in a form that means nothing else to a shell or to YAML."""
    found = parse(settings.images.client)
    return f"{found.name}@{found.digest}"


def _address(settings: FederationSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"https://{host}:{settings.port}"


def _written(files: Mapping[str, bytes], wishes: Wishes, usual: Path, images: Path | None) -> Path:
    path = wishes.out / usual.name if wishes.out else usual
    if wishes.packed:
        path = path.with_name(f"{path.name}.zip")
        writing.write_zip(files, path, images)
    else:
        writing.write_folder(files, path, images)
    return path
