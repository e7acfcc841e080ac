"""One site's answer to one task: recorded, done, checked, recorded again."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .contracts import (
    Arrays,
    DataContract,
    DataUnfit,
    Evaluation,
    NbfedError,
    ReleasePolicy,
    RoundInput,
    RoundOutput,
    SiteCard,
    SiteDataFailed,
    SiteFailed,
    SiteFailure,
    TaskRefused,
    derive_seed,
    plain,
)
from .fit import card_misfits, misfits
from .program import Program, Split, describe_failure
from .receipts import Receipts
from .release import release

Events = Callable[[str, Mapping[str, Any]], None]


class Worker:
    """Does tasks with one program. Data and model are prepared by the first task, with its seed.

    Args:
        data: the site's data folder, and what the federation expects of it.

    Attributes:
        interruptible: the notebook's code is running, and may be left at any point.
    """

    def __init__(  # noqa: PLR0913  (one for each thing that a site is made of)
        self,
        program: Program,
        policy: ReleasePolicy,
        receipts: Receipts,
        events: Events,
        site: str,
        *,
        data: tuple[Path | None, DataContract] = (None, DataContract()),
    ) -> None:
        self._program, self._policy, self._receipts = program, policy, receipts
        self._events, self._site = events, site
        self._folder, self._contract = data
        self._card: SiteCard | None = None
        self._given: tuple[RoundInput, str, RoundOutput] | None = None
        self.interruptible = False

    def handle(self, task: RoundInput) -> RoundOutput:
        """Do ``task``; the output's arrays may share the model's memory until the next task.

        A server that lost an update, for it was killed, asks for it again: what was trained is given
        once more, as long as no other task needed the model. A round depends on nothing but its task.

        Raises:
            TaskRefused: of an unknown kind, or its arrays are not the model's.
            SiteFailed: the notebook's code or data failed, or the policy does not let the output out.
            StorageFull: no receipt can be written.
        """
        about = {"task_id": task.task_id, "kind": task.kind, "round": task.round}
        told = {"ledger": task.ledger} if task.ledger else {}
        came = self._receipts.record("received", task, task.arrays, {"bytes": _size(task.arrays), **told})
        try:
            output = self._answer(task, came.arrays_digest)
        except Exception as error:
            if not isinstance(error, NbfedError):
                traceback.print_exc()  # to the site's own log, where the failure's hint leads
            failure = self.describe(error)
            self._receipts.record("refused", task, None, {"reason": f"{failure.code} {failure.what}"})
            self._events("failed", about | asdict(failure))
            raise
        metrics = output.evaluation.metrics if output.evaluation else {}
        names = ", ".join(sorted({*output.metrics, *metrics}))
        sizes = {"bytes": _size(output.arrays), "examples": output.num_examples}
        left = self._receipts.record("released", task, output.arrays, {**sizes, "metrics": names})
        self._events("released", about | sizes)
        return replace(output, receipts=(came, left))

    @property
    def slice_digest(self) -> str:
        """Digest of the only code that is ever run here."""
        return self._program.manifest.slice_digest

    def describe(self, error: BaseException) -> SiteFailure:
        """What may leave about ``error`` under this site's policy."""
        return describe_failure(error, self._program.manifest, self._policy.allow_messages)

    def _answer(self, task: RoundInput, arrived: str) -> RoundOutput:
        about = replace(task, arrays=None, ledger="")
        if self._given is not None and self._given[:2] == (about, arrived):
            self._events("kept", {"round": task.round})
            return self._given[2]
        output = release(self._do(task), self._card.arrays if self._card else (), self._policy)
        self._given = (about, arrived, output) if task.kind == "train" else self._given
        return output

    def _do(self, task: RoundInput) -> RoundOutput:
        if task.kind not in ("describe", "initialise", "canary", "train", "evaluate"):
            raise TaskRefused(f"This site knows no task {task.kind!r}.")
        seconds: dict[str, float] = {}
        output = RoundOutput(task.task_id, task.kind, task.round, seconds=seconds)
        card = self._prepared(task, seconds)
        if task.kind == "describe":
            return replace(output, card=card)
        if task.kind == "initialise":
            with self._running("prepare", seconds):
                return replace(output, arrays=self._program.initial(int(task.config.get("seed", 0))))
        if task.arrays is None:
            raise TaskRefused(f"The {task.kind} task came without a model.")
        if task.kind == "canary":
            return replace(output, arrays=task.arrays, seconds=self._rehearse(task, task.arrays, seconds))
        if task.kind == "evaluate" or task.config.get("evaluate"):
            self._events("evaluating", {"round": task.round})
            found = {split: self._tested(split, task, task.arrays, seconds) for split in self._splits()}
            output = replace(output, evaluation=found["test"], validation=found.get("validation"))
        if task.kind == "train":
            self._events("training", {"round": task.round})
            with self._running("train", seconds):
                arrays, examples = self._program.fit(task.arrays, self._config(task, "train"))
            output = replace(output, arrays=arrays, num_examples=examples)
        elif output.evaluation is None:
            raise SiteDataFailed("There is no test sample at this site.")
        return output

    def _prepared(self, task: RoundInput, seconds: dict[str, float]) -> SiteCard:
        """What is here, compared with the data contract; an unfit site that is asked again looks again."""
        if self._card is None or (task.kind == "describe" and self._card.unfit):
            self._events("preparing", {})
            with self._running("prepare", seconds):
                self._card = self._described(task)
            self._events("card", plain(self._card))
            if self._card.unfit:
                self._events("unfit", {"what": " ".join(self._card.unfit)})
        return self._card

    def _described(self, task: RoundInput) -> SiteCard:
        missed = misfits(self._contract, self._folder)
        wished = {name[4:]: value for name, value in task.config.items() if name.startswith("set:")}
        try:
            card = self._program.prepare(int(task.config.get("seed", 0)), wished)
        except SiteFailed as error:
            if not missed:
                raise
            what = f"The data is not what the federation's data contract asks for. {' '.join(missed)}"
            raise DataUnfit(
                what, where=error.where, hint="Mend the data folder; it is looked at again every minute."
            ) from error
        return replace(card, unfit=(*missed, *card_misfits(self._contract, card)))

    def _rehearse(self, task: RoundInput, arrays: Arrays, seconds: dict[str, float]) -> dict[str, float]:
        self._events("canary", {})
        splits = self._splits() if task.config.get("evaluate") else ()
        with self._running("canary", seconds):
            whole = self._program.rehearse(arrays, self._config(task, "canary"), splits)
        return {**seconds, "round": whole}

    def _tested(
        self, split: Split, task: RoundInput, arrays: Arrays, seconds: dict[str, float]
    ) -> Evaluation | None:
        kind = "evaluate" if split == "test" else "validate"
        with self._running(kind, seconds):
            evaluation = self._program.evaluate(arrays, self._config(task, kind), split)
        if evaluation is not None and split == "test":
            fields = {"round": task.round, "examples": evaluation.num_examples}
            self._events("evaluated", fields | {"warnings": list(evaluation.warnings)})
        return evaluation

    def _splits(self) -> tuple[Split, ...]:
        """What to test on: the validation set, too, where it is large enough for the policy."""
        samples = self._card.samples.get("validation", 0) if self._card else 0
        return ("test", "validation") if samples >= max(1, self._policy.min_examples) else ("test",)

    def _config(self, task: RoundInput, kind: str) -> dict[str, Any]:
        """The task's settings, with a random stream of this site, round and kind's own."""
        seed = derive_seed(int(task.config.get("seed", 0)), self._site, task.round, kind)
        return {**task.config, "seed": seed}

    @contextmanager
    def _running(self, activity: str, seconds: dict[str, float]) -> Iterator[None]:
        began = time.perf_counter()
        self._given = None  # its arrays may be the model's own memory
        self.interruptible = True
        try:
            yield
        finally:
            self.interruptible = False
            seconds[activity] = time.perf_counter() - began


def _size(arrays: Arrays | None) -> int:
    return sum(array.nbytes for array in arrays.values()) if arrays is not None else 0
