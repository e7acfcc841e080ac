"""The `nbfed` command: parse, call, print."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from .console import Answer, answer, output_option, progress_option, with_options

_YOUNG_OBJECTS = 20_000
"""Made between two collections. With 700, a twentieth of a short command goes into finding no garbage."""
_EXISTING = click.Path(path_type=Path)
_ELSEWHERE = {
    "build": "image_commands",
    "cache": "image_commands",
    "federation": "federation_commands",
    "image": "image_commands",
    "kit": "kit_commands",
    "ledger": "ledger_commands",
    "serve": "serving_commands",
    "status": "serving_commands",
}
"""Commands that other modules hold, by name; each is imported when it is called for."""


def _pairs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, sign, rest = value.partition("=")
        if not sign or not name or not rest:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE.", context, option)
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice.", context, option)
        found[name] = rest
    return found


def _deadline(context: click.Context, option: click.Parameter, value: str) -> float | None:
    from .federation.federation_toml import deadline

    try:
        return deadline(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number of seconds.", context, option) from None


class _Commands(click.Group):
    """The commands here and elsewhere."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them; None where there is none of this name."""
        if (module := _ELSEWHERE.get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)
        found: click.Command = getattr(import_module(f".{module}", __package__), cmd_name)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="notebook-federator", prog_name="nbfed")
def nbfed() -> None:
    """From a private Jupyter notebook to a running federation of hospitals."""


@nbfed.command()
@click.argument("path", metavar="NAME.ipynb", type=_EXISTING)
@click.option("--example", type=click.Choice(["breast-cancer", "histology"]), help="A filled one that runs.")
@output_option
def new(path: Path, example: str | None, output: str) -> None:
    """Write a template notebook to fill, or a filled example."""

    def produce() -> Answer:
        from . import templates

        made = templates.write(path, example)
        return Answer(f"Wrote {made}. Next: nbfed check {made}", {"notebook": str(made)})

    answer(output, produce)


@nbfed.command()
@click.argument("notebook", type=_EXISTING)
@click.option("--fix", is_flag=True, help="Write the suggested marks into the notebook.")
@click.option("--sites", type=int, help="Number of sites, to check the strategy against.")
@click.option("--names", is_flag=True, help="Also list every name that is carried or dropped.")
@output_option
def check(notebook: Path, fix: bool, sites: int | None, names: bool, output: str) -> None:
    """Find the notebook's building blocks and what stands in the way. Executes nothing."""

    def produce() -> Answer:
        from . import api, checking

        checked = api.check(notebook, sites=sites)
        written = checking.apply_fix(checked, notebook) if fix else {}
        if written:
            checked = api.check(notebook, sites=sites)
        text = checking.text(checked, notebook, names=names, written=written)
        return Answer(text, checking.data(checked, written), 0 if checked.slice else 4)

    answer(output, produce)


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--site", "site", multiple=True, metavar="NAME=DIR", callback=_pairs, help="A member."),
        click.option("--sites", type=int, help="Share the notebook's own data out to N sites."),
        click.option("--rounds", type=int, help="Federated rounds [default: the notebook's]."),
        click.option("--epochs", type=int, help="Local epochs per round [default: the notebook's]."),
        click.option("--strategy", help="fedavg, fedprox:proximal_mu=0.1, fedadam, fedyogi, fedavgm, "
                     "trimmed_mean, median [default: the notebook's]."),
        click.option("--quorum", help="Sites that make a round: 2 or 60% [default: all that are asked]."),
        click.option("--deadline", default="1800", show_default=True, callback=_deadline,
                     help="Seconds a round may take; auto: from a few batches at every site."),
        click.option("--stragglers", type=click.Choice(["drop", "wait", "late"]), default="drop",
                     show_default=True,
                     help="Sites that miss the deadline: drop, wait, or take the update in a later round."),
        click.option("--from", "initial", type=_EXISTING, metavar="MODEL",
                     help="Begin with this model of an older run [default: the notebook's own]."),
        click.option("--join-deadline", type=float, default=300.0, show_default=True,
                     help="Seconds that sites may take to connect and describe their data."),
        click.option("--seed", type=int, default=0, show_default=True),
        click.option("--wire", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
                     help="Precision of float32 arrays on the wire; fp32 is exact."),
        click.option("--alone", is_flag=True, help="Also train each institution alone, for the comparison."),
        click.option("--partition", default="iid", show_default=True,
                     help="iid or dirichlet:ALPHA, with --sites."),
        click.option("--min-examples", type=int, default=10, show_default=True,
                     help="Fewest examples that an update may rest on."),
        click.option("--set", "parameters", multiple=True, metavar="NAME=VALUE", callback=_pairs,
                     help="Set one of the notebook's parameters."),
        click.option("--port", type=int, default=0, help="Port of the server [default: a free one]."),
        click.option("--out", type=_EXISTING, help="Folder of the run [default: runs/NOTEBOOK-N]."),
    ]  # fmt: skip
    return with_options(command, options)


@nbfed.command()
@click.argument("notebook", type=_EXISTING, required=False)
@_run_options
@click.option("--resume", type=_EXISTING, metavar="RUN", help="Continue a run after its last finished round.")
@progress_option
@output_option
def run(
    notebook: Path | None, resume: Path | None, progress: str, output: str, out: Path | None, **options: Any
) -> None:
    """Federate a notebook over separate processes on this machine."""

    def produce() -> Answer:
        from . import api, running

        if resume is not None:
            folder = running.resumable(resume, notebook)
        else:
            folder = api.prepare(*running.asked(notebook, options), out)
        with running.interruptible(folder), running.shown(progress) as show:
            finished = api.follow(folder, show)
        files = finished.report()
        return Answer(running.text(finished, files), running.data(finished, files))

    answer(output, produce)


@nbfed.command()
@click.argument("run", metavar="RUN", type=_EXISTING)
@output_option
def report(run: Path, output: str) -> None:
    """Write the report of a run: HTML, Markdown and JSON."""

    def produce() -> Answer:
        from . import api, running
        from .federation import RunFolder

        finished = api.FinishedRun(RunFolder(run))
        files = finished.report()
        return Answer(running.text(finished, files), running.data(finished, files))

    answer(output, produce)


@nbfed.group()
def data() -> None:
    """Prepare site folders."""


@data.command()
@click.argument("manifest", type=_EXISTING)
@click.option("--images", type=_EXISTING, required=True, help="Folder or .tar with the images.")
@click.option("--out", type=_EXISTING, required=True, help="Where the site folders are made.")
@click.option("--sites", type=int, help="Number of sites [default: the manifest's institutions, else 3].")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--limit", type=int, help="A fair smaller copy: patches per site, split and label.")
@click.option("--ignore-institutions", is_flag=True, help="Assign patients to sites anew.")
@click.option("--ignore-splits", is_flag=True, help="Assign patients to train, validation and test anew.")
@click.option("--links", is_flag=True, help="Link to the images instead of copying them.")
@output_option
def split(manifest: Path, images: Path, out: Path, output: str, **options: Any) -> None:
    """Make site folders from a manifest of patches; no patient is in two of them."""

    def produce() -> Answer:
        from . import sitedata

        summary = sitedata.split(manifest, images, out, **options)
        return Answer(summary.text(), summary.to_json())

    answer(output, produce)


def main() -> None:
    """Entry point; a wrong call ends with exit code 4, as every bad input does."""
    gc.set_threshold(_YOUNG_OBJECTS)
    try:
        nbfed(standalone_mode=False, auto_envvar_prefix="NBFED")
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(4)
    finally:
        gc.freeze()  # the process ends: no need to look for cycles among all that was loaded


if __name__ == "__main__":
    main()
