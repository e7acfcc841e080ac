"""The tasks of a run by name and content, and what the record says of their evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nbfed_site.contracts import Arrays, RoundInput, Scalar, TaskKind, plain

from .journal import Journal
from .port import Replied
from .settings import RoundSettings
from .store import ModelStore


@dataclass(frozen=True, slots=True)
class Tasks:
    """Makes tasks: each has a name of its own in the run, the seed, and the notebook's parameters.

    Attributes:
        head: gives :attr:`Orders.head` as of now.
    """

    settings: RoundSettings
    head: Callable[[], str]

    def describe(self) -> RoundInput:
        """Read the data and count it."""
        return self._make("describe", 0)

    def initialise(self) -> RoundInput:
        """Build the notebook's model."""
        return self._make("initialise", 0)

    def canary(self, done: int, arrays: Arrays) -> RoundInput:
        """Train for a few batches after round ``done``, to see how long a round takes."""
        return self._make("canary", done, arrays, self._training())

    def train(self, number: int, arrays: Arrays) -> RoundInput:
        """Train for round ``number``, after evaluating what came in."""
        return self._make("train", number, arrays, self._training())

    def train_alone(self, arrays: Arrays, epochs: int) -> RoundInput:
        """Train without the others."""
        return self._make("train", 0, arrays, {"epochs": epochs, "evaluate": False}, "alone")

    def evaluate(self, model: str, number: int, arrays: Arrays) -> RoundInput:
        """Evaluate ``model``."""
        return self._make("evaluate", number, arrays, label=model)

    def _training(self) -> Mapping[str, Scalar]:
        return {"epochs": self.settings.epochs, "evaluate": True, **self.settings.config}

    def _make(
        self,
        kind: TaskKind,
        number: int,
        arrays: Arrays | None = None,
        config: Mapping[str, Scalar] | None = None,
        label: str = "",
    ) -> RoundInput:
        name = f"{kind}-{number}-{label}" if label else f"{kind}-{number}"
        wishes = {f"set:{name}": value for name, value in self.settings.parameters.items()}
        shared = {"seed": self.settings.seed, **wishes}
        return RoundInput(name, kind, number, arrays, {**shared, **(config or {})}, self.head())


def note_evaluations(journal: Journal, store: ModelStore | None, reply: Replied, model: str) -> None:
    """Record what a site's data says of ``model``; with ``store``, it counts in the choice of the best."""
    for split, evaluation in (("test", reply.output.evaluation), ("validation", reply.output.validation)):
        if evaluation is not None:
            if store is not None:
                store.note(model, split, evaluation)
            journal.record(
                "evaluation",
                model=model,
                site=reply.site,
                split=split,
                evaluation=plain(evaluation),
            )
