"""The commands around images: `build`, `image inspect`, `image verify`, `cache prune`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .console import Answer, answer, output_option, progress_option, with_options

_PATH = click.Path(path_type=Path)


def _build_options(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--push", metavar="REGISTRY/NAME", help="Push both images to this repository."),
        click.option("--tag", help="Name them server-TAG and client-TAG [default: made from the contents]."),
        click.option("--replace", is_flag=True, help="Move a tag that names another image."),
        click.option("--output", "destination", type=_PATH, metavar="PATH",
                     help="Write both images: a folder (OCI image layout), or a file ending in .tar."),
        click.option("--load", type=click.Choice(["auto", "docker", "podman"]),
                     help="Load both images into Docker or Podman of this machine."),
        click.option("--name", metavar="NAME", help="Repository name for --output and --load."),
        click.option("--base", metavar="IMAGE",
                     help="Base image with Python [default: the lock's, else the official slim one]."),
        click.option("--platform", type=click.Choice(["linux/amd64", "linux/arm64"]), default="linux/amd64",
                     show_default=True, help="What the machines of the sites are."),
        click.option("--torch", metavar="VARIANT",
                     help="cpu, cu128, ...: torch of the client image [default: the lock's, else cpu]."),
        click.option("--wheels", multiple=True, metavar="DIR", help="Folder (or flat page) with wheels."),
        click.option("--index", "indexes", multiple=True, metavar="URL", help="Further package index."),
        click.option("--default-index", metavar="URL", help="Package index instead of PyPI."),
        click.option("--lock", type=_PATH, metavar="FILE",
                     help="Lock file [default: pylock.NOTEBOOK.toml beside the notebook]."),
        click.option("--locked", is_flag=True, help="Refuse a lock that does not fit; for CI."),
        click.option("--update", is_flag=True, help="Settle all versions anew."),
        click.option("--root-certificates", type=_PATH, metavar="PEM",
                     help="Certificates of the registry's private authority."),
        click.option("--signing-key", type=_PATH, metavar="PEM",
                     help="Key to sign with [default: your own, made at first use]."),
        click.option("--export-dockerfile", type=_PATH, metavar="DIR",
                     help="Write a build context for each image."),
        click.option("--export-github", type=_PATH, metavar="DIR",
                     help="Write a workflow that builds and pushes, into the checkout DIR."),
    ]  # fmt: skip
    return with_options(command, options)


@click.command()
@click.argument("notebook", type=_PATH)
@_build_options
@progress_option
@output_option
def build(notebook: Path, progress: str, output: str, destination: Path | None, **options: Any) -> None:
    """Make the two images of a notebook; no Docker, no root."""

    def produce() -> Answer:
        from . import api, building
        from .build_progress import shown

        with shown(progress) as show:
            built = api.build(notebook, progress=show, output=destination, **options)
        return Answer(building.text(built), building.data(built))

    answer(output, produce)


@click.group()
def image() -> None:
    """Look into images."""


_certificates = click.option("--root-certificates", type=_PATH, metavar="PEM",
                             help="Certificates of the registry's private authority.")  # fmt: skip


@image.command()
@click.argument("target", metavar="IMAGE|FOLDER|FILE.tar")
@click.option(
    "--key", "keys", type=_PATH, multiple=True, metavar="PEM", help="Check signatures with this public key."
)
@_certificates
@output_option
def inspect(target: str, keys: tuple[Path, ...], root_certificates: Path | None, output: str) -> None:
    """Show what an image holds, as a scanner sees it."""

    def produce() -> Answer:
        from .image import inspecting, inspection_text, looking

        found = looking.inspect(target, keys, root_certificates)
        data = {"images": [inspecting.data(one) for one in found]}
        return Answer("\n".join(inspection_text.text(one) for one in found), data)

    answer(output, produce)


@image.command()
@click.argument("target", metavar="IMAGE|FOLDER|FILE.tar")
@click.option("--key", type=_PATH, required=True, metavar="PEM", help="The author's public key.")
@_certificates
@output_option
def verify(target: str, key: Path, root_certificates: Path | None, output: str) -> None:
    """Check that images are signed with a key."""

    def produce() -> Answer:
        from .image import looking

        digests = looking.verify(target, key, root_certificates)
        lines = [f"{digest} is signed with {key}." for digest in digests]
        return Answer("\n".join(lines), {"digests": list(digests)})

    answer(output, produce)


@image.command("key")
@output_option
def key_command(output: str) -> None:
    """Print your public signing key (made at first use)."""

    def produce() -> Answer:
        from .image import signing

        pem = signing.public_key(signing.user_key())
        fingerprint = signing.fingerprint(pem)
        return Answer(pem.decode().rstrip(), {"public_key": pem.decode(), "fingerprint": fingerprint})

    answer(output, produce)


@click.group()
def cache() -> None:
    """Look after the cache of wheels and layers."""


@cache.command()
@click.option("--limit", metavar="SIZE", default="0", help="Bytes to keep, such as 5GB [default: none].")
@output_option
def prune(limit: str, output: str) -> None:
    """Remove what was not used for longest from the cache."""

    def produce() -> Answer:
        from .image.cache import parse_size, user_cache

        pruned = user_cache().prune(parse_size(limit))
        text = (
            f"Removed {pruned.files} files, {pruned.bytes / 1e6:.1f} MB; {pruned.left / 1e6:.1f} MB are left."
        )
        return Answer(text, {"files": pruned.files, "bytes": pruned.bytes, "left": pruned.left})

    answer(output, produce)
