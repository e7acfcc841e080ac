"""How long what a run left is kept: ``retention_days`` from its end, until the coordinator erases it."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta

from nbfed_site.contracts import BadInput

from .decisions import Changed
from .edits import settled
from .federation_folder import FederationFolder
from .membership import RunNote


def kept_until(run: RunNote, days: int) -> datetime | None:
    """When a run's time is over (UTC); None where it goes on."""
    return datetime.fromisoformat(run.ended) + timedelta(days=days) if run.ended else None


def expire(folder: FederationFolder, now: datetime) -> Changed:
    """Erase the runs whose time is over: their models, scores, logs and ledgers.

    The federation's ledger stays. It says of each what it was, how it ended, and that it was erased.

    Args:
        now: UTC.

    Raises:
        BadInput: a file cannot be removed; what was erased before is in the ledger.
    """
    with folder.locked():
        settings, membership = settled(folder, now)
        done = []
        with folder.open_ledger() as ledger:
            for run in membership.runs.values():
                until = kept_until(run, settings.retention_days)
                if run.expired or until is None or until > now:
                    continue
                _erase(folder, run.number)
                membership = membership.after(ledger.append("run_expired", run=run.number))
                done.append(f"Run {run.number}, which ended on {run.ended[:10]}, is erased.")
    return Changed(folder, membership, tuple(done) or ("No run's time is over.",))


def _erase(folder: FederationFolder, number: int) -> None:
    path = folder.run(number).path
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass  # by hand, or before the power went
    except OSError as error:
        hint = "Give the command as the user who owns the folder."
        what = f"Run {number} cannot be erased: {error.strerror}."
        raise BadInput(what, where=str(error.filename or path), hint=hint) from error
