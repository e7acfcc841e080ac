"""The life of a run: gather the sites, train round by round, evaluate, compare with each site alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbfed_site.contracts import (
    Arrays,
    ArraySpec,
    ReleasePolicy,
    RoundInput,
    RoundOutput,
    Scalar,
    SettingsInvalid,
    SiteCard,
    SiteFailure,
    TaskKind,
    card_json,
    derive_seed,
    evaluation_json,
)

from ..aggregation import Strategy
from .collect import Gathering, Journal, Roster
from .port import Replied, Transport
from .screening import screen_update
from .settings import RoundSettings
from .store import ModelStore


@dataclass(slots=True)
class Run:
    """A federated run over ``transport``. :meth:`go` does the whole of it.

    What is done is in the store and the journal, so that a run that ended anywhere goes on from its
    last finished round: a round depends on nothing but the model, the seed and its number.
    """

    settings: RoundSettings
    transport: Transport
    strategy: Strategy
    store: ModelStore
    journal: Journal
    clock: Callable[[], float]
    roster: Roster = field(init=False)
    cards: dict[str, SiteCard] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.roster = Roster(self.journal)

    def go(self) -> None:
        """Run to the end, from the last checkpoint if there is one.

        Raises:
            NbfedError: the run cannot go on; everything finished so far is kept.
        """
        self._gather()
        done = self.store.last_round
        if done is None:
            self._initialise()
            done = 0
        else:
            self.strategy.restore(self.store.state(done))
            self.journal.record("resumed", round=done)
        for number in range(done + 1, self.settings.rounds + 1):
            self._round(number)
        self._final_evaluation()
        if self.settings.alone:
            self._alone()
        self.journal.record("finished", rounds=self.settings.rounds, best=self.store.best_round)

    # -- before round 1 -----------------------------------------------------------------------

    def _gather(self) -> None:
        describe = self._task("describe", 0)
        for reply in self._gathering(describe, self.settings.sites, self.settings.join_deadline).replies():
            card = reply.output.card
            if card is not None:
                self.cards[reply.site] = card
                self.journal.record("card", site=reply.site, card=card_json(card))
        _check_same_model({site: card.arrays for site, card in sorted(self.cards.items())})

    def _initialise(self) -> None:
        first = min(self.cards)
        for reply in self._gathering(self._task("initialise", 0), [first]).replies():
            checkpoint = self.store.save(0, reply.output.arrays or {}, {})
            self.transport.discard(reply)
            self.journal.record("initialised", site=first, digest=checkpoint.digest)

    # -- rounds -------------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        sites = self._chosen(number)
        started = self.clock()
        self.journal.record("round_started", round=number, sites=list(sites))
        current = self.store.arrays(number - 1)
        self.strategy.begin(current)
        weights: dict[str, int] = {}
        fold = _InOrder(sites, lambda reply: self._add(reply, weights))
        config = {"epochs": self.settings.epochs, "evaluate": True, **self.settings.config}
        gathering = self._gathering(self._task("train", number, current, config), sites)
        for reply in gathering.replies():
            self._note_update(reply, number)
            fold.take(reply, gathering.pending)
        fold.rest()
        aggregated = self.clock()
        checkpoint = self.store.save(number, self.strategy.finish(), self.strategy.state())
        self.store.choose_best(number - 1)
        self.journal.record(
            "round_finished",
            round=number,
            weights=weights,
            digest=checkpoint.digest,
            seconds=round(self.clock() - started, 4),
            seconds_saving=round(self.clock() - aggregated, 4),
        )

    def _chosen(self, number: int) -> tuple[str, ...]:
        count = self.settings.asked_per_round
        if count == len(self.settings.sites):
            return self.settings.sites
        draw = random.Random(derive_seed(self.settings.seed, "sample", number))
        return tuple(sorted(draw.sample(self.settings.sites, count)))

    def _add(self, reply: Replied, weights: dict[str, int]) -> None:
        self.strategy.add(reply.output.arrays or {}, reply.output.num_examples)
        weights[reply.site] = reply.output.num_examples
        self.transport.discard(reply)

    def _note_update(self, reply: Replied, number: int) -> None:
        output = reply.output
        self._note_evaluations(reply, f"round-{number - 1}")
        self.journal.record(
            "update",
            site=reply.site,
            round=number,
            num_examples=output.num_examples,
            metrics=dict(output.metrics),
            **_traffic(reply),
        )

    def _note_evaluations(self, reply: Replied, model: str) -> None:
        for split, evaluation in (("test", reply.output.evaluation), ("validation", reply.output.validation)):
            if evaluation is not None:
                self.store.note(model, split, evaluation)
                self.journal.record(
                    "evaluation",
                    model=model,
                    site=reply.site,
                    split=split,
                    evaluation=evaluation_json(evaluation),
                )

    # -- after the last round -----------------------------------------------------------------

    def _final_evaluation(self) -> None:
        last = self.settings.rounds
        self._evaluate(f"round-{last}", self.store.arrays(last), last)
        self.store.choose_best(last)

    def _evaluate(self, model: str, arrays: Arrays, number: int) -> None:
        task = self._task("evaluate", number, arrays, label=model)
        for reply in self._gathering(task, self.settings.sites).replies():
            self._note_evaluations(reply, model)
            self.journal.record("evaluated", site=reply.site, model=model, **_traffic(reply))

    def _alone(self) -> None:
        missing = [site for site in sorted(self.cards) if not self.store.has_alone(site)]
        if missing:
            self._train_alone(missing, self.settings.rounds * self.settings.epochs)
        for site in sorted(self.cards):
            if self.store.has_alone(site):
                self._evaluate(f"alone-{site}", self.store.alone_arrays(site), 0)

    def _train_alone(self, sites: Sequence[str], epochs: int) -> None:
        config = {"epochs": epochs, "evaluate": False}
        task = self._task("train", 0, self.store.arrays(0), config, label="alone")
        seconds = self.settings.deadline * self.settings.rounds
        for reply in self._gathering(task, sites, seconds).replies():
            checkpoint = self.store.save_alone(reply.site, reply.output.arrays or {})
            self.transport.discard(reply)
            self.journal.record(
                "alone",
                site=reply.site,
                epochs=epochs,
                num_examples=reply.output.num_examples,
                digest=checkpoint.digest,
                **_traffic(reply),
            )

    # -- asking -------------------------------------------------------------------------------

    def _task(
        self,
        kind: TaskKind,
        number: int,
        arrays: Arrays | None = None,
        config: Mapping[str, Scalar] | None = None,
        label: str = "",
    ) -> RoundInput:
        name = f"{kind}-{number}-{label}" if label else f"{kind}-{number}"
        wishes = {f"set:{name}": value for name, value in self.settings.parameters.items()}
        return RoundInput(
            name, kind, number, arrays, {"seed": self.settings.seed, **wishes, **(config or {})}
        )

    def _gathering(self, task: RoundInput, sites: Sequence[str], seconds: float | None = None) -> Gathering:
        return Gathering(
            self.transport,
            self.roster,
            self.clock,
            task,
            sites,
            quorum=min(self.settings.quorum, len(sites)),
            deadline=self.clock() + (self.settings.deadline if seconds is None else seconds),
            screen=self._screen if task.kind == "train" else lambda output: None,
        )

    def _screen(self, output: RoundOutput) -> SiteFailure | None:
        policy = ReleasePolicy(min_examples=self.settings.min_examples)
        return screen_update(output, next(iter(self.cards.values())).arrays, policy)


@dataclass(slots=True)
class _InOrder:
    """Hands replies on in the order of ``sites``, as early as the missing ones before allow."""

    sites: Sequence[str]
    add: Callable[[Replied], None]
    held: dict[str, Replied] = field(default_factory=dict)
    position: int = 0

    def take(self, reply: Replied, pending: set[str]) -> None:
        self.held[reply.site] = reply
        while self.position < len(self.sites) and self.sites[self.position] not in pending:
            self._release(self.sites[self.position])
            self.position += 1

    def rest(self) -> None:
        for site in self.sites:
            self._release(site)

    def _release(self, site: str) -> None:
        if site in self.held:
            self.add(self.held.pop(site))


def _traffic(reply: Replied) -> dict[str, Any]:
    return {
        "bytes_down": reply.bytes_down,
        "bytes_up": reply.bytes_up,
        "seconds": {name: round(value, 4) for name, value in reply.output.seconds.items()},
        "elapsed": round(reply.seconds, 4),
    }


def _check_same_model(models: Mapping[str, tuple[ArraySpec, ...]]) -> None:
    """Refuse sites whose models differ, naming the first difference.

    Raises:
        SettingsInvalid: two sites built different models from the same slice.
    """
    sites = list(models)
    for site in sites[1:]:
        if models[site] != models[sites[0]]:
            ours, theirs = models[sites[0]], models[site]
            pair = next(((a, b) for a, b in zip(ours, theirs, strict=False) if a != b), None)
            detail = f"{pair[0]} against {pair[1]}" if pair else f"{len(ours)} against {len(theirs)} arrays"
            raise SettingsInvalid(
                f"{sites[0]} and {site} build different models: {detail}.",
                where="the model block",
                hint="The model must not depend on a site's data, for example on its number of classes.",
            )
