"""`nbfed kit`: what a site receives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Answer, answer, folder_option, output_option, progress_option

if TYPE_CHECKING:
    from .image.meter import Progress
    from .kits import IssuedKit
    from .kits.issuing import Fetch

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("site")
@folder_option
@click.option("--zip", "packed", is_flag=True, help="One file to send, in place of a folder.")
@click.option("--offline", is_flag=True, help="With the client image in it, for a site without a registry.")
@click.option(
    "--images",
    type=_PATH,
    metavar="FILE.tar",
    help="Take the image from what nbfed build --output wrote, not from the registry.",
)
@click.option("--again", is_flag=True, help="Also for a site that has joined already.")
@click.option(
    "--out", type=_PATH, metavar="DIR", help="Where to [default: kits/ in the federation's folder]."
)
@click.option(
    "--root-certificates", type=_PATH, metavar="PEM", help="Certificates of the registry's private authority."
)
@progress_option
@output_option
def kit(site: str, folder: Path, progress: str, output: str, **wishes: Any) -> None:
    """Make the kit that a site needs: two commands, nothing to edit. Older kits of the site are stale."""

    def produce() -> Answer:
        from datetime import UTC, datetime

        from .build_progress import shown
        from .federation.federation_folder import find_federation
        from .kits import Wishes, issue

        with shown(progress) as show:
            fetch = _fetch(show, **wishes)
            asked = Wishes(wishes["again"], wishes["packed"], wishes["out"], fetch)
            issued = issue(find_federation(folder), site, asked, datetime.now(UTC))
        return Answer(_text(issued), _data(issued))

    answer(output, produce)


def _fetch(
    show: Progress, *, offline: bool, images: Path | None, root_certificates: Path | None, **_: Any
) -> Fetch | None:
    """What brings the image into the kit, where that is asked for."""
    from .image.registry.client import connections
    from .kits.offline import from_file, from_registry

    if images:
        return from_file(images, show)
    return from_registry(connections(root_certificates), show) if offline else None


def _text(issued: IssuedKit) -> str:
    site = issued.kit.site
    return (
        f"Wrote {issued.path}: kit {issued.kit.serial} of {site}.\n"
        f"Bring it to {site} so that nobody else can read it: until {site} has joined, whoever has it can "
        f"join in its place.\n"
        f"Its token ends at {issued.expires}. To compare by telephone: signing key {issued.signing_key}\n"
        "At the site: sh site doctor /path/to/data, then sh site up /path/to/data"
    )


def _data(issued: IssuedKit) -> dict[str, object]:
    return {
        "kit": str(issued.path),
        "site": issued.kit.site,
        "serial": issued.kit.serial,
        "digest": issued.digest,
        "token": issued.kit.token,
        "expires": issued.expires,
        "signing_key": issued.signing_key,
    }
