"""How commands answer: readable text for people, one JSON envelope for machines, stable exit codes."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click
from nbfed_site.contracts import NbfedError

SCHEMA_VERSION = 1
INTERRUPTED = 130


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
        _fail(output, error.exit_code, error.code, error.what, error.where, error.hint)
    except KeyboardInterrupt:
        _fail(output, INTERRUPTED, "", "Interrupted.", "", "What was finished is kept.")
    except Exception as error:
        traceback.print_exc()
        what = f"{type(error).__name__}: {error}"
        _fail(output, 1, "NE100", f"Notebook Federator has a defect: {what}", "", "Please report the above.")
    if output == "json":
        status = "ok" if found.exit_code == 0 else "failed"
        _print_envelope(status=status, exit_code=found.exit_code, data=found.data)
    elif found.text:
        click.echo(found.text)
    sys.exit(found.exit_code)


def _fail(output: str, exit_code: int, code: str, what: str, where: str, hint: str) -> None:
    if output == "json":
        message = what if not where else f"{what} ({where})"
        _print_envelope(status="error", exit_code=exit_code, error_code=code, message=message, hint=hint)
    else:
        label = click.style(f"error {code}".strip(), fg="red", bold=True)
        click.echo(f"{label}  {what}", err=True)
        for name, value in (("where", where), ("next", hint)):
            if value:
                click.echo(f"  {click.style(name, bold=True):>5}  {value}", err=True)
    sys.exit(exit_code)


def _print_envelope(**fields: Any) -> None:
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **fields}, ensure_ascii=False))
