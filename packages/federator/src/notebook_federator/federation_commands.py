"""The commands of a coordinator: `nbfed federation ...`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Answer, answer, folder_option, output_option, with_options

if TYPE_CHECKING:
    from .federating import Changed
    from .federation.federation_folder import FederationFolder

_PATH = click.Path(path_type=Path)


@click.group()
def federation() -> None:
    """Make a federation and decide who belongs to it."""


def _init_options(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--server", required=True, metavar="URL", help="https://HOST:PORT, as sites call it."),
        click.option("--out", type=_PATH, metavar="DIR", help="Folder [default: NOTEBOOK-federation]."),
        click.option("--name", help="Name of the federation [default: the notebook's]."),
        click.option("--contact", metavar="TEXT", help="Whom a site may call; stands in every kit."),
        click.option("--images", type=_PATH, metavar="FILE",
                     help="What `nbfed build` recorded [default: NOTEBOOK.images.json]."),
        click.option("--rounds", type=int, help="Federated rounds [default: the notebook's]."),
        click.option("--epochs", type=int, help="Local epochs per round [default: the notebook's]."),
        click.option("--quorum", metavar="N|N%", help="Sites that make a round [default: the notebook's, "
                     "else 100%]."),
        click.option("--deadline", metavar="auto|SECONDS", help="How long a round may take; auto measures "
                     "every site first [default: auto]."),
        click.option("--join-deadline", type=float, metavar="SECONDS",
                     help="Until all sites have to be here [default: 30 days]."),
        click.option("--stragglers", type=click.Choice(["drop", "wait", "late"]),
                     help="What becomes of an update after the deadline [default: drop]."),
        click.option("--strategy", help="As of `nbfed run` [default: the notebook's]."),
        click.option("--seed", type=int, help="Of the whole run [default: 0]."),
        click.option("--wire", type=click.Choice(["fp32", "bf16"]), help="Precision on the wire "
                     "[default: fp32, exact]."),
        click.option("--alone/--no-alone", default=None, help="Also train each institution alone."),
        click.option("--min-examples", type=int,
                     help="Fewest examples that an update may rest on [default: 10]."),
        click.option("--max-bytes", type=int, help="Largest update [default: the model's size]."),
        click.option("--allow-messages/--no-allow-messages", default=None,
                     help="Whether the text of errors may leave sites; it can quote data [default: no]."),
        click.option("--retention-days", type=int,
                     help="Days for which a run's models and records are kept [default: 365]."),
    ]  # fmt: skip
    return with_options(command, options)


@federation.command()
@click.argument("notebook", type=_PATH)
@_init_options
@output_option
def init(notebook: Path, output: str, **options: Any) -> None:
    """Make the folder of a new federation for a notebook that is built."""

    def produce() -> Answer:
        from . import federating, federating_text

        changed = federating.begin(notebook, now=_now(), **federating_text.asked(options))
        return federating_text.answer_of(changed)

    answer(output, produce)


@federation.command("add-site")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@folder_option
@output_option
def add_site(names: tuple[str, ...], folder: Path, output: str) -> None:
    """Make sites members of the federation."""
    _change(output, folder, lambda found: _federating().add_sites(found, names, _now()))


@federation.command("remove-site")
@click.argument("name")
@click.option("--reason", required=True, help="Why; stands in the ledger.")
@folder_option
@output_option
def remove_site(name: str, reason: str, folder: Path, output: str) -> None:
    """Take a site out of the federation, at once."""
    _change(output, folder, lambda found: _federating().remove_site(found, name, reason, _now()))


@federation.command("list")
@folder_option
@output_option
def list_sites(folder: Path, output: str) -> None:
    """Show the federation and its sites."""

    def produce() -> Answer:
        from . import federating_text
        from .federation.edits import settled, unrecorded
        from .federation.federation_folder import find_federation

        found = find_federation(folder)
        with found.locked():
            edited = unrecorded(found.settings(), found.membership())
            settings, membership = settled(found, _now())
        return federating_text.overview(found, settings, membership, _now(), edited)

    answer(output, produce)


@federation.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; stands in the ledger.")
@folder_option
@output_option
def waive(name: str, reason: str, folder: Path, output: str) -> None:
    """Let a site train although its data miss the data contract."""
    _change(output, folder, lambda found: _federating().waive(found, name, reason, _now()))


@federation.command()
@folder_option
@output_option
def pause(folder: Path, output: str) -> None:
    """Begin no new round until `resume`."""
    _change(output, folder, lambda found: _federating().order(found, "pause", _now()))


@federation.command()
@folder_option
@output_option
def resume(folder: Path, output: str) -> None:
    """Go on after `pause`."""
    _change(output, folder, lambda found: _federating().order(found, "resume", _now()))


@federation.command()
@folder_option
@output_option
def stop(folder: Path, output: str) -> None:
    """End the run; finished rounds are kept."""
    _change(output, folder, lambda found: _federating().order(found, "stop", _now()))


@federation.command()
@folder_option
@output_option
def expire(folder: Path, output: str) -> None:
    """Erase the runs that ended more than `retention_days` ago; the federation's ledger stays."""
    _change(output, folder, lambda found: _federating().expire(found, _now()))


@federation.command()
@click.argument("notebook", type=_PATH)
@click.option("--images", type=_PATH, metavar="FILE",
              help="What `nbfed build` recorded [default: NOTEBOOK.images.json].")  # fmt: skip
@folder_option
@output_option
def renew(notebook: Path, images: Path | None, folder: Path, output: str) -> None:
    """Use the images that the notebook has now, after a change and a new build."""
    _change(output, folder, lambda found: _federating().renew(found, notebook, images, _now()))


def _federating() -> Any:
    from . import federating

    return federating


def _change(output: str, folder: Path, act: Callable[[FederationFolder], Changed]) -> None:
    def produce() -> Answer:
        from . import federating_text
        from .federation.edits import unrecorded
        from .federation.federation_folder import find_federation

        found = find_federation(folder)
        edited = unrecorded(found.settings(), found.membership())
        return federating_text.answer_of(act(found), edited)

    answer(output, produce)


def _now() -> datetime:
    return datetime.now(UTC)
