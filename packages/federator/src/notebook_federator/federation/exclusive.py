"""One command at a time changes a federation: a lock on its folder, which ends with whoever holds it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbfed_site.contracts import FederationUnreadable, TimedOut

WAIT_SECONDS = 20.0
_LOOK_SECONDS = 0.02


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a federation's folder from before its settings are read until what follows is in the ledger.

    It is the folder itself that is locked (flock): there is no file to own, to copy or to forget. Whoever
    holds it must not ask for it again.

    Raises:
        TimedOut: another process has held it for ``WAIT_SECONDS``.
        FederationUnreadable: there is no such folder, or it is where nothing can be locked.
    """
    try:
        held = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FederationUnreadable("The folder cannot be opened.", where=str(folder)) from error
    try:
        _take(held, folder)
        yield
    finally:
        os.close(held)


def _take(held: int, folder: Path) -> None:
    import fcntl  # not on Windows, where no federation is served

    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise _busy(folder) from error
            time.sleep(_LOOK_SECONDS)
        except OSError as error:
            what, hint = f"The folder cannot be locked: {error.strerror}.", "Keep it on a local disk."
            raise FederationUnreadable(what, where=str(folder), hint=hint) from error


def _busy(folder: Path) -> TimedOut:
    what = f"Another command has been changing this federation for more than {WAIT_SECONDS:.0f} seconds."
    return TimedOut(what, where=str(folder), hint="Let it end, then give this command again.")
