"""How commands answer: readable text for people, one JSON envelope for machines, stable exit codes."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from nbfed_site.contracts import Interrupted, NbfedError

SCHEMA_VERSION = 1

output_option = click.option(
    "--format",
    "output",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="Readable text, or one JSON envelope on standard output.",
)
folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="The federation's folder [default: this one, or the only one in it].",
)
progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "lines", "json", "none"]),
    default="auto",
    show_default=True,
    help="A live display, plain lines, JSON lines, or nothing; on standard error.",
)


def with_options(
    command: Callable[..., None], options: Sequence[Callable[[Callable[..., None]], Callable[..., None]]]
) -> Callable[..., None]:
    """``command`` with ``options``, which its help lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say: ``text`` for people, ``data`` for machines."""

    text: str
    data: Mapping[str, Any]
    exit_code: int = 0


def answer(output: str, produce: Callable[[], Answer]) -> None:
    """Run a command's body, print its answer or its error, and exit with its code.

    ``output`` is ``human`` or ``json``. With ``json`` standard output holds exactly one envelope.
    """
    try:
        found = produce()
    except NbfedError as error:
        _fail(output, error, error.exit_code)
    except KeyboardInterrupt:
        _fail(output, Interrupted("Interrupted."), Interrupted.exit_code)
    except Exception as error:
        traceback.print_exc()
        what = f"Notebook Federator has a defect: {type(error).__name__}: {error}"
        _fail(output, NbfedError(what, hint="Please report the above."), 1)
    if output == "json":
        status = "ok" if found.exit_code == 0 else "failed"
        _print_envelope(status=status, exit_code=found.exit_code, data=found.data)
    elif found.text:
        click.echo(found.text)
    sys.exit(found.exit_code)


def _fail(output: str, error: NbfedError, exit_code: int) -> None:
    if output == "json":
        message = f"{error.what} ({error.where})" if error.where else error.what
        _print_envelope(
            status="error", exit_code=exit_code, error_code=error.code, message=message, hint=error.hint
        )
    else:
        colour = False if os.environ.get("NO_COLOR") else None
        label = click.style(f"error {error.code}", fg="red", bold=True)
        click.echo(f"{label}  {error.what}", err=True, color=colour)
        for name, value in (("where", error.where), ("next ", error.hint)):
            if value:
                click.echo(f"  {click.style(name, bold=True)}  {value}", err=True, color=colour)
    sys.exit(exit_code)


def _print_envelope(**fields: Any) -> None:
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **fields}, ensure_ascii=False))
