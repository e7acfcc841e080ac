"""What `nbfed run` and `nbfed report` take and print."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import Interrupted, SettingsInvalid
from nbfed_site.options import literals

from .api import FinishedRun, Progress
from .federation import Options, RunFolder

if TYPE_CHECKING:
    from .report import ReportFiles


def asked(notebook: Path | None, options: Mapping[str, Any]) -> tuple[Path, Options]:
    """The notebook and the options of a new run.

    Raises:
        SettingsInvalid: no notebook, or neither or both of --site and --sites.
    """
    if notebook is None:
        raise SettingsInvalid(
            "Which notebook?", hint="nbfed run NOTEBOOK --sites 3, or nbfed run --resume RUN"
        )
    folders, number = options["site"], options["sites"]
    if bool(folders) == (number is not None):
        raise SettingsInvalid(
            "A run needs its sites, named in one way.",
            hint="Either --site NAME=DIR for each site, or --sites N to share the notebook's own data out.",
        )
    names = {field.name for field in dataclasses.fields(Options)} - {"sites", "parameters"}
    chosen = {name: value for name, value in options.items() if name in names}
    sites = {name: Path(path) for name, path in folders.items()} if folders else number
    return notebook, Options(sites=sites, parameters=literals(options["parameters"]), **chosen)


def resumable(run: Path, notebook: Path | None) -> RunFolder:
    """The run to continue.

    Raises:
        SettingsInvalid: a notebook is named too; the run has its own slice of it.
        RunUnreadable: there is no run.
    """
    if notebook is not None:
        raise SettingsInvalid(
            "A run is resumed with the slice it began with; leave the notebook out.",
            hint=f"nbfed run --resume {run}",
        )
    folder = RunFolder(run)
    folder.settings()
    return folder


@contextmanager
def interruptible(folder: RunFolder) -> Iterator[None]:
    """Turn Ctrl-C into an error that says how to go on.

    Raises:
        Interrupted: by the user.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "The run was interrupted; finished rounds are kept.",
            where=str(folder.path),
            hint=f"Go on with: nbfed run --resume {folder.path}",
        ) from None


@contextmanager
def shown(how: str) -> Iterator[Progress]:
    """A progress display on standard error."""
    yield {"json": _json_lines, "none": _nothing}.get(how, lambda: _console(how))()


@contextmanager
def _json_lines() -> Iterator[Any]:
    yield lambda event: print(json.dumps(event), file=sys.stderr, flush=True)


@contextmanager
def _nothing() -> Iterator[Any]:
    yield lambda event: None


def _console(how: str) -> Progress:
    from rich.console import Console

    from .progress import LiveProgress

    return LiveProgress(Console(stderr=True, force_terminal=False if how == "lines" else None))


def text(finished: FinishedRun, files: ReportFiles) -> str:
    """The comparison on the shared test set, and where everything is."""
    from .report import HEADINGS, table

    rows = [row.cells()[1:] for row in table(finished.record) if row.test_set is None]
    lines = [
        "Shared test set (all sites' together), with 95 % intervals:" if rows else "",
        *_aligned([HEADINGS[1:], *rows] if rows else []),
        "",
        f"Report   {files.html}",
        f"Models   {finished.folder.models}/last.safetensors, best.safetensors",
        f"Ledger   {finished.folder.ledger}",
    ]
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()


def data(finished: FinishedRun, files: ReportFiles) -> dict[str, Any]:
    """The same for machines."""
    return {
        "run": str(finished.folder.path),
        "state": finished.record.state,
        "report": {"html": str(files.html), "markdown": str(files.markdown), "json": str(files.json)},
        "models": str(finished.folder.models),
    }
