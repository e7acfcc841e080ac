"""The canary: a few batches that tell how long a round takes, and leave no trace."""

from collections.abc import Iterator

import numpy as np
import pytest
from nbfed_site.contracts import ReleasePolicy, RoundInput, SiteCodeFailed
from nbfed_site.program.watch import Sampler, watching
from nbfed_site.receipts import Receipts
from nbfed_site.worker import Worker

BATCHES = 12
DATA = f"""
trainloader = DataLoader(blobs({16 * BATCHES}, 1), batch_size=16, shuffle=True)
valloader, testloader = (DataLoader(blobs({16 * BATCHES}, k), batch_size=16) for k in (2, 3))
num_examples = None
"""


@pytest.fixture
def make_worker(make_program, tmp_path):
    def make(name: str = "a", **sections: str) -> Worker:
        program = make_program(**sections)
        return Worker(program, ReleasePolicy(), Receipts(tmp_path / f"{name}.jsonl"), lambda *told: None, "a")

    return make


def kept(output):
    return {name: np.array(value) for name, value in output.arrays.items()}


CONFIG = {"seed": 7, "epochs": 2, "evaluate": True}


@pytest.mark.parametrize("after", ["before round 1", "between rounds"])
def test_later_rounds_are_the_same_bits_with_and_without(make_worker, after: str) -> None:
    def run(canary: bool) -> list[dict[str, np.ndarray]]:
        worker = make_worker(f"{canary}", data=DATA)
        models = [kept(worker.handle(RoundInput("t0", "initialise", config=CONFIG)))]
        for number in (1, 2):
            if canary and number == (1 if after == "before round 1" else 2):
                worker.handle(RoundInput("c", "canary", 0, models[-1], CONFIG))
            models.append(kept(worker.handle(RoundInput(f"t{number}", "train", number, models[-1], CONFIG))))
        return models

    for plain, with_canary in zip(run(False), run(True), strict=True):
        assert all(np.array_equal(plain[name], with_canary[name]) for name in plain)


def test_it_sends_back_what_came_and_says_how_long_a_round_takes(make_worker) -> None:
    worker = make_worker(data=DATA)
    start = kept(worker.handle(RoundInput("t0", "initialise", config=CONFIG)))
    output = worker.handle(RoundInput("c", "canary", 0, start, CONFIG))
    assert all(np.array_equal(start[name], value) for name, value in output.arrays.items())
    assert output.receipts[0].arrays_digest == output.receipts[1].arrays_digest
    assert output.num_examples == 0
    assert output.evaluation is output.validation is None
    assert set(output.seconds) == {"canary", "round"}
    assert output.seconds["round"] > 0


def test_only_a_few_batches_are_taken(make_worker, tmp_path) -> None:
    path = tmp_path / "batches"
    note = f"open({str(path)!r}, 'a').write"
    train = f"""
    for epoch in range(epochs):
        {note}("epoch ")
        for x, y in trainloader:
            {note}("batch ")
    """
    test = f"""
    for x, y in testloader:
        {note}("test ")
    nbfed_test_result = 0.5, 0.5
    """
    worker = make_worker(data=DATA, train=train, test=test)
    start = kept(worker.handle(RoundInput("t0", "initialise", config=CONFIG)))
    worker.handle(RoundInput("c", "canary", 0, start, CONFIG))
    taken = path.read_text().split()
    assert taken.count("epoch") == 1
    assert 2 <= taken.count("batch") <= 5
    assert 4 <= taken.count("test") <= 10, "the test set, and the validation set in its place"
    path.write_text("")
    worker.handle(RoundInput("c2", "canary", 0, start, {**CONFIG, "evaluate": False}))
    assert "test" not in path.read_text()
    worker.handle(RoundInput("t1", "train", 1, start, {**CONFIG, "evaluate": False}))
    assert path.read_text().count("batch") == 5 + 2 * BATCHES, "the canary, and two epochs"


def test_what_cannot_be_cut_runs_whole_for_one_epoch(make_worker, tmp_path) -> None:
    path = tmp_path / "epochs"
    data = """
    import numpy as np
    trainloader = (np.zeros((64, 4), np.float32), np.arange(64) % 2)
    testloader, valloader, num_examples = trainloader, None, None
    """
    train = f"""
    for epoch in range(epochs):
        open({str(path)!r}, 'a').write("epoch ")
    """
    worker = make_worker(data=data, train=train, test="nbfed_test_result = 0.5, 0.5")
    start = kept(worker.handle(RoundInput("t0", "initialise", config=CONFIG)))
    assert worker.handle(RoundInput("c", "canary", 0, start, CONFIG)).seconds["round"] > 0
    assert path.read_text() == "epoch "


def test_a_notebook_that_needs_all_batches_gets_them(make_worker) -> None:
    test = """
    labels = [int(label) for x, y in testloader for label in y]
    if len(labels) < 16 * 12:
        raise ValueError("Only one class present in y_true")
    nbfed_test_result = 0.5, 0.5
    """
    worker = make_worker(data=DATA, test=test)
    start = kept(worker.handle(RoundInput("t0", "initialise", config=CONFIG)))
    assert worker.handle(RoundInput("c", "canary", 0, start, CONFIG)).seconds["round"] > 0


def test_a_notebook_that_fails_fails_here_already(make_worker) -> None:
    worker = make_worker(data=DATA, train="raise RuntimeError('no memory')")
    start = kept(worker.handle(RoundInput("t0", "initialise", config=CONFIG)))
    with pytest.raises(SiteCodeFailed, match="RuntimeError"):
        worker.handle(RoundInput("c", "canary", 0, start, CONFIG))


class Clock:
    """Time that passes only as it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Loader:
    """Batches that each take a second to come, after a start of ten."""

    def __init__(self, clock: Clock, batches: int, sized: bool = True) -> None:
        self.clock, self.batches = clock, batches
        if sized:
            self.__class__ = type("Sized", (Loader,), {"__len__": lambda loader: loader.batches})

    def __iter__(self) -> Iterator[int]:
        self.clock.now += 10
        for number in range(self.batches):
            self.clock.now += 1
            yield number


@pytest.mark.parametrize(
    ("batches", "sized", "epochs", "spent", "whole"),
    [(100, True, 1, 15, 100), (100, True, 2, 30, 200), (3, True, 1, 13, 3), (1, True, 1, 11, 11),
     (9, False, 1, 19, 19), (0, True, 1, 10, 10)],
)  # fmt: skip
def test_estimates_grow_with_batches_and_leave_out_the_warm_up(
    batches: int, sized: bool, epochs: int, spent: float, whole: float
) -> None:
    clock = Clock()
    sampler = Sampler(clock=clock)
    names = {"loader": Loader(clock, batches, sized)}
    with watching(names, "loader", sampler):
        for _ in range(epochs):
            for _ in names["loader"]:
                pass
    assert clock.now == spent
    assert clock.now + sampler.beyond == whole
