"""Between rounds: wait while the run is paused, and until enough sites can train."""

from __future__ import annotations

from collections.abc import Mapping

from nbfed_site.contracts import DataUnfit, NbfedError, QuorumMissed, error_kind

from .floor import POLL_SECONDS, Floor

_QUIET_SECONDS = 10.0


def hold(floor: Floor, done: int) -> None:
    """Wait while the coordinator has the run paused; ``done`` is the last finished round."""
    if not floor.attendance.orders.paused:
        return
    floor.journal.record("paused", round=done)
    while floor.attendance.orders.paused:
        floor.idle(POLL_SECONDS)
    floor.journal.record("resumed", round=done, after="pause")


def admit(floor: Floor, everyone: bool) -> None:
    """Wait until as many sites can train as the quorum needs, or ``everyone``.

    At the join deadline the run goes on without the others where the quorum is there.

    Raises:
        NbfedError: too few can; of the kind that says why.
    """
    until = floor.clock() + floor.settings.join_deadline
    told: Mapping[str, str] = {}
    while True:
        obstacles = floor.obstacles()
        ready = [site for site in floor.attendance.members if site not in obstacles]
        floor.attendance.seats |= set(ready)
        quorum, left = floor.quorum_of(floor.attendance.seats), until - floor.clock()
        awaited = [site for site in obstacles if everyone and not _is_lost_cause(floor, site)]
        if len(ready) >= quorum and (not awaited or left <= 0):
            break
        if left <= 0 or _is_hopeless(floor, quorum):
            raise _shortfall(floor, obstacles, len(ready), quorum)
        if obstacles != told and _is_worth_telling(floor, obstacles, left):
            told = obstacles
            sites = sorted(obstacles)
            floor.journal.tell(
                "waiting", sites=sites, why=obstacles, quorum=quorum, seconds_left=round(left, 1)
            )
        floor.idle(left)
    if everyone and obstacles:
        floor.journal.record("left_out", sites=obstacles, quorum=quorum)


def _is_lost_cause(floor: Floor, site: str) -> bool:
    """Nobody is expected to mend a site in the middle of an impatient run."""
    return site in floor.reception.failures and not floor.settings.patient


def _is_hopeless(floor: Floor, quorum: int) -> bool:
    members = floor.attendance.members
    lost = sum(_is_lost_cause(floor, site) for site in members)
    return not floor.settings.patient and len(members) - lost < quorum


def _is_worth_telling(floor: Floor, obstacles: Mapping[str, str], left: float) -> bool:
    """Sites that are only just starting are not worth a line."""
    waited = floor.settings.join_deadline - left
    return any(map(floor.reception.is_stuck, obstacles)) or waited >= _QUIET_SECONDS


def _shortfall(floor: Floor, obstacles: Mapping[str, str], ready: int, quorum: int) -> NbfedError:
    failures = {site: failure for site, failure in floor.reception.failures.items() if site in obstacles}
    where = "; ".join(f"{site}: {why}" for site, why in obstacles.items())
    if failures:
        site, failure = min(failures.items())
        return error_kind(failure.code)(
            f"{site}: {failure.what}",
            where=failure.where or where,
            hint=failure.hint or "Mend this, then resume.",
        )
    what = f"{ready} of {len(floor.attendance.members)} sites can train; the quorum is {quorum}."
    if any(floor.reception.cards[site].unfit for site in obstacles if site in floor.reception.cards):
        hint = "Mend the data and resume, waive the data contract for the site, or remove it."
        return DataUnfit(what, where=where, hint=hint)
    return QuorumMissed(what, where=where, hint="Bring the sites here and resume, or declare a lower quorum.")
