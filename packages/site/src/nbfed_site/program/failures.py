"""What a site says of an exception: class and place in the notebook, and no data value."""

from __future__ import annotations

import linecache
import sys
import traceback
from pathlib import Path

from ..contracts import Manifest, NbfedError, Phase, SiteCodeFailed, SiteFailure


class Stopped(KeyboardInterrupt):
    """This process is told to end while the notebook's code runs; no failure of that code."""


def code_failure(phase: Phase, error: BaseException, manifest: Manifest) -> SiteCodeFailed:
    """The error to raise from ``error``, which the notebook's own code of ``phase`` raised.

    The whole traceback, with its message, goes to the site's own log (standard error) only.
    """
    traceback.print_exception(error, file=sys.stderr)
    hint = "The exception's own text is in the site's log."
    if isinstance(error, FileNotFoundError):
        hint = "The site's data folder lacks a file that the notebook reads. " + hint
    what = f"The notebook's {phase} code raised {type(error).__name__}."
    return SiteCodeFailed(what, where=_place(error, manifest)[0], hint=hint)


def describe_failure(error: BaseException, manifest: Manifest, allow_messages: bool) -> SiteFailure:
    """What may leave the site about ``error``: no text of the notebook's exceptions unless
    ``allow_messages``."""
    if not isinstance(error, NbfedError):
        what = f"The site program failed with {type(error).__name__}."
        return SiteFailure("NE600", what, exception=type(error).__name__, hint="See the site's log.")
    cause = error.__cause__
    if not isinstance(error, SiteCodeFailed) or cause is None:
        return SiteFailure(error.code, error.what, error.where, hint=error.hint)
    what = f"{error.what[:-1]}: {cause}" if allow_messages else error.what
    source = _place(cause, manifest)[1]
    return SiteFailure(error.code, what, error.where, source, type(cause).__name__, error.hint)


def _place(error: BaseException, manifest: Manifest) -> tuple[str, str]:
    """Where the innermost frame of the notebook's code is, and its source line."""
    place = source = module = ""
    frames = [
        (Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    folder = next((path.parent for path, _ in frames if path.name == "slice.py"), None)
    for path, line in frames:
        own = [name for name in ("slice.py", *manifest.modules) if path.match(name)]
        if not own or (folder is not None and path != folder / own[0]):
            continue
        module = "" if own[0] == "slice.py" else f"{own[0]}, line {line}"
        if not module:
            cell = manifest.locate(line)
            place = f"notebook cell {cell[0]}, line {cell[1]}" if cell else f"slice.py, line {line}"
        source = linecache.getline(str(path), line).strip()
    return (f"{place} (in {module})" if place and module else place or module), source
