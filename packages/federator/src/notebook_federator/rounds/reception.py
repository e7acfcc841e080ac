"""Before a site may train: its data described and fitting, and where needed a canary round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nbfed_site.contracts import (
    ArraySpec,
    RoundInput,
    SettingsInvalid,
    SiteCard,
    SiteFailure,
    plain,
)

from .attendance import Attendance
from .deadlines import estimate_of
from .journal import Journal, record_failure, traffic
from .port import Event, Failed, Joined, Received, Replied, Transport
from .screening import Screening

_RETRY_SECONDS = 60.0


@dataclass(slots=True)
class Reception:
    """Has every process of a site describe its data, and says which sites may be asked for more.

    Attributes:
        describe: the task that each process does first.
        patient: a site that fails or does not fit is asked again now and then, for its data may be mended.
        canary: the task that measures a site, once there is a model to train; None where deadlines are given.
        specs: the model's arrays, once they are known.
        cards: by site, the newest.
        failures: sites that could not do one of these tasks, until another process of theirs comes.
        estimates: seconds that a round will take by what canaries said, by site.
    """

    transport: Transport
    attendance: Attendance
    journal: Journal
    screen: Screening
    describe: RoundInput
    patient: bool
    canary: Callable[[], RoundInput] | None = None
    specs: tuple[ArraySpec, ...] = ()
    cards: dict[str, SiteCard] = field(init=False, default_factory=dict)
    failures: dict[str, SiteFailure] = field(init=False, default_factory=dict)
    estimates: dict[str, float] = field(init=False, default_factory=dict)
    _described: dict[str, str] = field(init=False, default_factory=dict)
    _asked: dict[str, tuple[RoundInput, str]] = field(init=False, default_factory=dict)
    _asked_at: dict[str, float] = field(init=False, default_factory=dict)
    _waived: dict[str, SiteCard] = field(init=False, default_factory=dict)

    def invite(self) -> None:
        """Ask each member for what is missing of it, where it is here and not asked yet."""
        self._keep_waivers()
        here = [site for site in self.attendance.members if site in self.attendance.present]
        free = [site for site in here if not self.busy(site) and not self._is_left_alone(site)]
        self._send(self.describe, [site for site in free if not self._fits(site)])
        if self.canary is not None:
            unknown = [site for site in free if self._fits(site) and site not in self.estimates]
            if unknown:
                self._send(self.canary(), unknown)

    def _send(self, task: RoundInput, sites: list[str]) -> None:
        if sites:
            self.transport.send(task, sites)
            self.screen.remember(task)
        light = RoundInput(task.task_id, task.kind, task.round)
        for site in sites:
            self._asked[site] = light, self.attendance.present[site]
            self._asked_at[site] = self.attendance.clock()
            self.journal.tell("sent", site=site, round=task.round, task=task.kind)

    def _is_left_alone(self, site: str) -> bool:
        """Whether ``site`` is stuck, and it is too early to look again whether somebody has mended it."""
        waited = self.attendance.clock() - self._asked_at.get(site, 0.0)
        return self.is_stuck(site) and (not self.patient or waited < _RETRY_SECONDS)

    def busy(self, site: str) -> bool:
        """Whether the process of ``site`` that is connected works on one of these tasks."""
        return site in self._asked and self._asked[site][1] == self.attendance.present.get(site)

    def is_stuck(self, site: str) -> bool:
        """Whether somebody has to do something before ``site`` can train."""
        return site in self.failures or (self._is_described(site) and not self._fits(site))

    def obstacle(self, site: str) -> str:
        """Why ``site`` may not be asked to train or evaluate; empty where it may, once it is here."""
        here = site in self.attendance.present
        if site not in self.attendance.members:
            return "removed from the federation"
        if site in self.failures:
            return self.failures[site].what
        if site not in self.cards or not self._is_described(site):
            return "describes its data" if here else "not connected"
        if not self._fits(site):
            return f"its data does not fit: {' '.join(self.cards[site].unfit)}"
        if self.canary is not None and site not in self.estimates:
            return "does its canary round" if here else "not connected"
        return ""

    def take(self, event: Event) -> bool:
        """Deal with an event that concerns one of these tasks; False of any other."""
        if isinstance(event, Joined):
            self._forget_older(event)
            return False
        if isinstance(event, Failed) and not event.task_id:
            self._fail(event.site, self.describe, event.failure)
            return True
        task = self._task_of(event)
        if task is None or not isinstance(event, Received | Failed | Replied):
            return False
        if isinstance(event, Received):
            self.journal.tell("received", site=event.site, round=task.round, task=task.kind)
        elif isinstance(event, Failed):
            self._fail(event.site, task, event.failure)
        else:
            self._answered(event, task)
        return True

    def _task_of(self, event: Event) -> RoundInput | None:
        if isinstance(event, Replied):
            task_id = event.output.task_id
        elif isinstance(event, Received | Failed):
            task_id = event.task_id
        else:
            return None
        task, _ = self._asked.get(event.site, (None, ""))
        return task if task is not None and task.task_id == task_id else None

    def _forget_older(self, event: Joined) -> None:
        """Another process of a site begins anew."""
        task, instance = self._asked.get(event.site, (None, ""))
        if instance != event.instance:
            self.failures.pop(event.site, None)
            if task is not None:
                del self._asked[event.site]

    def _answered(self, reply: Replied, task: RoundInput) -> None:
        site, card = reply.site, reply.output.card
        failure = self.screen(task, reply)
        if failure is None and card is not None and self.specs and card.arrays != self.specs:
            failure = SiteFailure(SettingsInvalid.code, f"It builds another model than the others: {site}.")
        if failure is not None:
            self._fail(site, task, failure, reply)
            self.transport.discard(reply)
            return
        self.failures.pop(site, None)
        if task.kind == "canary":
            self.estimates[site] = estimate = estimate_of(reply)
            self.journal.record("canary", site=site, estimate=estimate, **traffic(reply))
        elif card is not None:
            self._take_card(site, card, reply)
        del self._asked[site]
        self.transport.discard(reply)

    def _take_card(self, site: str, card: SiteCard, reply: Replied) -> None:
        _, instance = self._asked[site]
        known = self.cards.get(site) == card and self._described.get(site) == instance
        self.cards[site], self._described[site] = card, instance
        if known:
            return
        self.journal.record("card", site=site, card=plain(card), receipts=traffic(reply)["receipts"])
        if card.unfit:
            self.journal.record("unfit", site=site, why=list(card.unfit))

    def _fail(
        self, site: str, task: RoundInput, failure: SiteFailure, refused: Replied | None = None
    ) -> None:
        if self.failures.get(site) != failure:
            record_failure(self.journal, site, task, failure, refused)
        self.failures[site] = failure
        self._asked.pop(site, None)

    def _is_described(self, site: str) -> bool:
        """Whether the newest process of ``site`` has described its data."""
        found = self._described.get(site)
        return found is not None and self.attendance.present.get(site, found) == found

    def _fits(self, site: str) -> bool:
        if not self._is_described(site):
            return False
        return not self.cards[site].unfit or site in self.attendance.orders.waived

    def _keep_waivers(self) -> None:
        for site, reason in sorted(self.attendance.orders.waived.items()):
            card = self.cards.get(site)
            if card is not None and card.unfit and self._waived.get(site) != card:
                self._waived[site] = card
                self.journal.record("waived", site=site, reason=reason)
