"""A slice that lives as long as its process: prepared once, then trained and tested round by round."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Literal

from ..arrays import ModelAdapter, adapt
from ..contracts import (
    DEFAULT_METRICS,
    Arrays,
    Evaluation,
    Manifest,
    NbfedError,
    Phase,
    Scalar,
    SiteCard,
    SiteCodeFailed,
    TaskRefused,
    derive_seed,
)
from .failures import Stopped, code_failure
from .observation import TestObserver, disagreement
from .partition import Partition
from .sitedata import SiteData, take_splits
from .source import parameter_values, read_slice
from .split import is_whole
from .state import Snapshot, seed_all
from .watch import Listener, Pacer, Progress, Sampler, watching

Split = Literal["test", "validation"]

_ALIASES = {"acc": "accuracy"}


class Program:
    """One slice with this site's parameters; its namespace is that of a notebook's ``__main__``.

    Every task starts from the namespace as it was after the model block, so that what a round gives
    depends only on the arrays and seed that came in.

    Raises:
        BadInput: the slice folder is not whole.
        SettingsInvalid: a parameter that the notebook has not.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Mapping[str, Scalar],
        partition: Partition | None,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._slice = read_slice(folder)
        parameter_values(self.manifest, parameters)
        self._given = dict(parameters)
        self._partition, self._report = partition, on_progress
        self._module = ModuleType("__main__")
        self._names = self._module.__dict__
        self._data: SiteData
        self._model: ModelAdapter
        self._snapshot: Snapshot
        self._fresh = False
        sys.path.insert(0, str(folder))

    @property
    def manifest(self) -> Manifest:
        """The slice's manifest."""
        return self._slice.manifest

    def prepare(self, seed: int, wished: Mapping[str, Scalar] = MappingProxyType({})) -> SiteCard:
        """Run the setup, data and model blocks, and count the samples.

        The data block gets the same random stream at every site: shares of one notebook's data
        stay disjoint, and a restarted site finds the split that it had. ``wished`` are the server's
        values of parameters; the site's own stand above them.

        Raises:
            TaskRefused: a wish for a name that is no parameter, or is the site's alone (the data folder).
            SiteCodeFailed: the notebook's code raised, or no sample can be read.
            SiteDataFailed: there is nothing to train on.
        """
        free = {item.name for item in self.manifest.parameters if item.meaning == "other"}
        if refused := sorted(wished.keys() - free):
            raise TaskRefused(f"The server may not set {refused[0]!r} here.")
        values = parameter_values(self.manifest, {**wished, **self._given})
        self._names.clear()
        self._names.update(ModuleType("__main__").__dict__ | values)
        seed_all(derive_seed(seed, "data"))
        self._run("setup")
        self._run("data")
        with self._notebook("data"):  # the splits' own code: data sets, samplers, collation
            self._data = take_splits(self._names, self.manifest, self._partition, self._report)
        self._build_model(seed)
        return self._data.card(self._model.specs())

    def initial(self, seed: int) -> Arrays:
        """The arrays of a freshly built model; they may share its memory until the next task."""
        if not self._fresh:
            self._build_model(seed)
        return self._model.read()

    def fit(self, arrays: Arrays, config: Mapping[str, Scalar]) -> tuple[Arrays, int]:
        """Train from ``arrays``: the new arrays (sharing the model's memory until the next task), and
        the number of training samples. ``config``: ``seed``, ``epochs``, ``proximal_mu``.

        Raises:
            TaskRefused: ``arrays`` are not the model's.
            SiteCodeFailed: the notebook's code raised.
        """
        with self._having_run("train", arrays, config, Pacer(self._epochs(config), self._report)):
            return self._adapter().read(), self._data.counted("train")

    def rehearse(self, arrays: Arrays, config: Mapping[str, Scalar], splits: Sequence[Split] = ()) -> float:
        """Train and test on a few batches: the seconds that a whole round would take here.

        Nothing stays of it. Where loaders cannot be cut, one epoch is trained whole.

        Raises:
            TaskRefused, SiteCodeFailed: as :meth:`fit`.
        """
        once = {**config, "epochs": 1}
        seconds = self._timed(partial(self._having_run, "train", arrays, once), Sampler())
        seconds *= self._epochs(config) or 1
        for split in filter(self._testable, splits):
            seconds += self._timed(partial(self._having_run, split, arrays, config), Sampler())
        return seconds

    def _timed(self, run: Callable[[Listener], AbstractContextManager[None]], sampler: Sampler) -> float:
        begun = time.perf_counter()
        try:
            with run(sampler):
                return time.perf_counter() - begun + sampler.beyond
        except SiteCodeFailed:
            if not sampler.cut:
                raise
            return self._timed(run, Sampler(cuts=False))  # it needs all, such as both classes for an AUC

    def evaluate(
        self, arrays: Arrays, config: Mapping[str, Scalar], split: Split = "test"
    ) -> Evaluation | None:
        """Run the test block on ``arrays``, over the test set or in its place the validation set.

        None where that set is empty or not known by name. The metrics are as the notebook gave
        them: the release policy judges them.

        Raises:
            TaskRefused: ``arrays`` are not the model's.
            SiteCodeFailed: the notebook's code raised.
            SiteDataFailed: it cannot be told how many samples were tested.
        """
        if not self._testable(split):
            return None
        loader = self._names.get(self._loader_name(split))
        observer = TestObserver(loader if is_whole(loader) else None)
        with self._model.watch(observer.output), self._having_run(split, arrays, config, observer):
            return self._evaluation(observer, split)

    def _evaluation(self, observer: TestObserver, split: str) -> Evaluation:
        metrics = self._metrics()
        confusion, problem = observer.result()
        if confusion is None:
            warning = f"No confusion counts: {problem}."
            return Evaluation(self._data.counted(split), metrics, warnings=(warning,))
        warning = disagreement(confusion, metrics.get("accuracy"))
        labels = tuple(str(label) for label in range(len(confusion)))
        return Evaluation(sum(map(sum, confusion)), metrics, confusion, labels, (warning,) if warning else ())

    def _metrics(self) -> dict[str, Any]:
        """What the test gave, by name: of loose names only those that are known metrics."""
        names = self.manifest.names
        loose = {_metric_name(name): self._names.get(name) for name in names.metrics}
        metrics = {
            name: value for name, value in loose.items() if name in DEFAULT_METRICS and _is_number(value)
        }
        result = self._names.get(names.test_result or "")
        if isinstance(result, Mapping):
            metrics |= {_metric_name(str(name)): value for name, value in result.items()}
        elif isinstance(result, tuple) and len(result) > 1:
            known = ("loss", "accuracy", *(f"result {k}" for k in range(3, len(result) + 1)))
            metrics |= dict(zip(known, result, strict=True))
        elif result is not None:
            metrics["result"] = result
        return metrics

    def _build_model(self, seed: int) -> None:
        seed_all(derive_seed(seed, "model"))
        self._run("model")
        self._model = self._adapter()
        self._snapshot = Snapshot(self._names)
        self._fresh = True

    def _adapter(self) -> ModelAdapter:
        name = self.manifest.names.model
        if name not in self._names:
            raise SiteCodeFailed(f"The model block did not make {name!r}.")
        return adapt(self._names[name])

    @contextmanager
    def _having_run(
        self,
        split: Literal["train", "test", "validation"],
        arrays: Arrays,
        config: Mapping[str, Scalar],
        listener: Listener,
    ) -> Iterator[None]:
        """The train block, or the test block over ``split``, has run on ``arrays``; all is set back after."""
        names, mu = self.manifest.names, float(config.get("proximal_mu", 0))
        loader = names.train_loader if split == "train" else names.test_loader
        with ExitStack() as stack:
            self._begin(arrays, config)
            stack.callback(self._rewind)
            if split == "train" and mu > 0:
                stack.enter_context(self._model.proximal(arrays, mu))
            if split == "validation" and loader:
                self._names[loader] = self._names[self._loader_name(split)]
            stack.enter_context(watching(self._names, loader, listener))
            self._run("train" if split == "train" else "test")
            yield

    def _loader_name(self, split: Split) -> str:
        names = self.manifest.names
        return (names.validation_loader if split == "validation" else names.test_loader) or ""

    def _testable(self, split: Split) -> bool:
        """Whether there is something to test on; the validation set must be known by name."""
        held = self._names.get(self._loader_name(split)) is not None
        known = split == "test" or (held and self._loader_name("test") in self._names)
        return known and self._data.samples(split) != 0

    def _epochs(self, config: Mapping[str, Scalar]) -> int:
        """Epochs of a round; 0 where they are not a parameter of the notebook."""
        return next((int(config.get("epochs", self._names[name])) for name in self._epochs_names()), 0)

    def _begin(self, arrays: Arrays, config: Mapping[str, Scalar]) -> None:
        self._fresh = False
        self._model.rewind()
        self._model.load(arrays)
        self._snapshot.restore(int(config.get("seed", 0)))
        if "epochs" in config:
            self._names.update(dict.fromkeys(self._epochs_names(), int(config["epochs"])))

    def _epochs_names(self) -> list[str]:
        return [item.name for item in self.manifest.parameters if item.meaning == "epochs"]

    def _rewind(self) -> None:
        self._model.rewind()
        self._snapshot.restore(0)

    def _run(self, phase: Phase) -> None:
        with self._notebook(phase):
            exec(self._slice.code[phase], self._names)

    @contextmanager
    def _notebook(self, phase: Phase) -> Iterator[None]:
        """The notebook's own code runs: what it raises is told with its place, and pickling and the like
        find its classes where they say they are."""
        before = sys.modules["__main__"]
        sys.modules["__main__"] = self._module
        try:
            yield
        except (NbfedError, Stopped):
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise code_failure(phase, error, self.manifest) from error
        finally:
            sys.modules["__main__"] = before


def _metric_name(name: str) -> str:
    words = [word for word in name.lower().split("_") if word not in ("test", "val", "avg", "mean", "final")]
    short = "_".join(words) or name
    return _ALIASES.get(short, short)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or getattr(value, "shape", None) == ()
