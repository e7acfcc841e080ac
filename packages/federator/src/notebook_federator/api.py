"""What the command line and notebooks call: from a notebook to a finished run and its report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import NotebookBlocked, SettingsInvalid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .analysis import Analysis
    from .drafting import Draft
    from .federation import Options, RunFolder
    from .findings import Finding
    from .imaging import Built
    from .locking import LockUnsolvable
    from .notebook import Notebook
    from .report import ReportFiles, RunRecord
    from .slicing import Slice

Progress = AbstractContextManager[Callable[[Mapping[str, Any]], None]]


@dataclass(frozen=True, slots=True)
class Checked:
    """A notebook as `nbfed check` sees it; ``slice`` is None where findings block it."""

    notebook: Notebook
    analysis: Analysis
    findings: tuple[Finding, ...]
    slice: Slice | None

    @property
    def draft(self) -> Draft | None:
        """What each site's data must be, drafted from the slice; costs time, so only when asked for."""
        from .drafting import draft_contract

        return draft_contract(self.slice) if self.slice else None


def check(notebook: str | Path, *, sites: int | None = None) -> Checked:
    """Find the blocks of a notebook and everything that stands in the way; executes nothing.

    Raises:
        NotebookUnreadable: the file is not a notebook.
    """
    from . import analysis, findings, slicing
    from .notebook import read

    found = read(Path(notebook))
    analysed = analysis.analyse(found)
    examined = findings.examine(found, analysed, sites=sites, cut=slicing.cut)
    blocked = any(finding.level == "error" for finding in examined)
    return Checked(found, analysed, examined, None if blocked else slicing.cut(analysed))


def prepare(notebook: str | Path, options: Options, out: Path | None = None) -> RunFolder:
    """Cut the slice and settle the settings of a run; starts nothing.

    Raises:
        NotebookBlocked: findings stand in the way.
        SettingsInvalid: an option has no meaning, or the run could never train.
    """
    from . import slicing
    from .federation import RunFolder, new_run_folder, resolve

    number = options.sites if isinstance(options.sites, int) else len(options.sites)
    checked = check(notebook, sites=number if options.strategy is None else None)
    slice_ = sliced(checked)
    settings = resolve(options, slice_.manifest, os.cpu_count() or 1)
    folder = RunFolder(out) if out else new_run_folder(Path("runs"), Path(notebook).stem)
    folder.create(settings)
    slicing.write(slice_, folder.slice)
    return folder


def build(
    notebook: str | Path,
    *,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
    **options: Any,
) -> Built:
    """Make the server and the client image of a notebook, and push, write or load them.

    Args:
        notebook: path of the ``.ipynb`` file.
        progress: told of every layer: ``{"event": "layer", "title", "state", "bytes", "total"}``.
        **options: fields of :class:`notebook_federator.settling.BuildOptions`: ``push``, ``output``,
            ``load``, ``tag``, ``base``, ``torch``, ``locked``, ...

    Raises:
        NotebookBlocked: findings stand in the way, or no versions fit.
        NbfedError: says what went wrong, where and what to do next.
    """
    from . import imaging
    from .locking import LockUnsolvable
    from .settling import BuildOptions

    try:
        asked = BuildOptions(**options)
    except TypeError as error:
        raise SettingsInvalid(str(error), hint="See help(notebook_federator.build).") from error
    checked = check(notebook)
    slice_ = sliced(checked)
    try:
        return imaging.build(slice_, Path(notebook), asked, progress or (lambda event: None))
    except LockUnsolvable as error:
        raise _unlockable(checked, error) from error


def sliced(checked: Checked) -> Slice:
    """The slice of a notebook that can be federated.

    Raises:
        NotebookBlocked: findings stand in the way.
    """
    if checked.slice is None:
        raise _blocked(checked, [finding for finding in checked.findings if finding.level == "error"])
    return checked.slice


def _blocked(checked: Checked, errors: Sequence[Finding]) -> NotebookBlocked:
    return NotebookBlocked(
        f"{checked.notebook.name} cannot be federated yet: "
        + "; ".join(f"{finding.code} {finding.message}" for finding in errors),
        where=", ".join(dict.fromkeys(f"cell {finding.cell}" for finding in errors if finding.cell)),
        hint=f"See all findings with: nbfed check {checked.notebook.name}",
    )


def _unlockable(checked: Checked, error: LockUnsolvable) -> NotebookBlocked:
    from .findings import of_lock

    blocked = _blocked(checked, of_lock(error, checked.analysis))
    blocked.hint = error.hint
    return blocked


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run on disk. Shows itself as its table of results."""

    folder: RunFolder

    @property
    def record(self) -> RunRecord:
        """Everything that the report shows."""
        from .report import read_run

        return read_run(self.folder)

    def table(self) -> str:
        """The comparison of each institution alone with the federation, as Markdown."""
        from .report import shared_table

        return shared_table(self.record)

    def plot(self) -> Figure:
        """The learning curves, as a matplotlib figure."""
        from .report import plot

        return plot(self.record)

    def report(self) -> ReportFiles:
        """Write the report beside the run and return its files."""
        from .report import write_report

        return write_report(self.record, self.folder.report)

    def model(self, which: str = "last") -> Mapping[str, Any]:
        """The arrays of the ``last`` or ``best`` global model by name, read when asked for.

        Raises:
            RunUnreadable: there is no such model.
        """
        from .rounds.checkpoints import StoredArrays

        return StoredArrays(self.folder.models / f"{which}.safetensors")

    def _repr_markdown_(self) -> str:
        return self.table()


def run(
    notebook: str | Path,
    *,
    sites: Mapping[str, str | Path] | int,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> FinishedRun:
    """Federate a notebook over processes on this machine and wait for the end.

    Args:
        notebook: path of the ``.ipynb`` file.
        sites: site name -> data folder; or a number, to share the notebook's own data out.
        out: folder of the run; default ``runs/NOTEBOOK-N``.
        progress: shows what happens; default: inline in Jupyter, a table on a terminal, else lines.
        **options: fields of :class:`notebook_federator.federation.Options`: ``rounds``, ``epochs``,
            ``quorum``, ``deadline`` (seconds), ``strategy``, ``seed``, ``wire``, ``alone``, ...

    Raises:
        NbfedError: says what went wrong, where and what to do next.
    """
    from .federation import Options

    members = sites if isinstance(sites, int) else {name: Path(path) for name, path in sites.items()}
    try:
        chosen = Options(sites=members, **options)
    except TypeError as error:
        raise SettingsInvalid(str(error), hint="See help(notebook_federator.Options).") from error
    return follow(prepare(notebook, chosen, Path(out) if out else None), progress)


def resume(folder: str | Path, *, progress: Progress | None = None) -> FinishedRun:
    """Continue a run after its last finished round.

    Raises:
        RunUnreadable: there is no run in ``folder``.
        NbfedError: as :func:`run`.
    """
    from .federation import RunFolder

    found = RunFolder(Path(folder))
    found.settings()
    return follow(found, progress)


def follow(folder: RunFolder, progress: Progress | None) -> FinishedRun:
    """Run the federation in ``folder`` and show its progress."""
    from .federation import LocalFederation

    with progress or _default_progress() as show:
        LocalFederation(folder, show).run()
    return FinishedRun(folder)


def _default_progress() -> Progress:
    from rich.console import Console

    from .progress import LiveProgress

    return LiveProgress(Console())
