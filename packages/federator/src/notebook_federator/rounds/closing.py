"""After the last round: the last model judged everywhere, and compared with each site alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbfed_site.contracts import Arrays, RoundInput

from .collect import Gathering
from .floor import Floor
from .journal import traffic
from .screening import Screening
from .store import ModelStore
from .tasks import Tasks, note_evaluations


@dataclass(slots=True)
class Closing:
    """What is done once with the models of a run; ``seconds`` is the deadline of each task."""

    floor: Floor
    tasks: Tasks
    store: ModelStore
    screen: Screening
    seconds: float

    def judge(self, number: int) -> None:
        """Evaluate the model of round ``number`` at every site, and choose the best round.

        Raises:
            NbfedError: there is no quorum.
        """
        self._evaluate(f"round-{number}", self.store.arrays(number), number)
        self.store.choose_best(number)

    def train_alone(self, rounds: int, epochs: int) -> None:
        """Train each site without the others for as long, and judge its model everywhere.

        Raises:
            NbfedError: there is no quorum.
        """
        sites = self._sites()
        missing = [site for site in sites if not self.store.has_alone(site)]
        if missing:
            self._train(missing, rounds, epochs)
        for site in sites:
            if self.store.has_alone(site):
                self._evaluate(f"alone-{site}", self.store.alone_arrays(site), 0)

    def _sites(self) -> list[str]:
        return [site for site in self.floor.attendance.members if not self.floor.obstacle(site)]

    def _evaluate(self, model: str, arrays: Arrays, number: int) -> None:
        task = self.tasks.evaluate(model, number, arrays)
        for reply in self._gathering(task, self._sites(), self.seconds).replies():
            note_evaluations(self.floor.journal, self.store, reply, model)
            self.floor.journal.record("evaluated", site=reply.site, model=model, **traffic(reply))

    def _train(self, sites: Sequence[str], rounds: int, epochs: int) -> None:
        task = self.tasks.train_alone(self.store.arrays(0), rounds * epochs)
        for reply in self._gathering(task, sites, self.seconds * rounds).replies():
            checkpoint = self.store.save_alone(reply.site, reply.output.arrays or {})
            self.floor.transport.discard(reply)
            self.floor.journal.record(
                "alone",
                site=reply.site,
                epochs=rounds * epochs,
                num_examples=reply.output.num_examples,
                digest=checkpoint.digest,
                **traffic(reply),
            )

    def _gathering(self, task: RoundInput, sites: Sequence[str], seconds: float) -> Gathering:
        def quorum() -> int:
            return max(1, min(self.floor.quorum_of(self.floor.attendance.seats), len(sites)))

        return Gathering(self.floor, task, sites, seconds, quorum, self.screen)
