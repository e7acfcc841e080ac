"""The worker: every task recorded, done, checked and recorded again."""

import dataclasses
import json
import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from nbfed_site.contracts import (
    DataContract,
    DataUnfit,
    ReleasePolicy,
    ReleaseRefused,
    RoundInput,
    SiteCodeFailed,
    SiteDataFailed,
    TaskRefused,
)
from nbfed_site.program import Stopped
from nbfed_site.receipts import Receipts, arrays_digest, read_receipts
from nbfed_site.worker import Worker

POLICY = ReleasePolicy()
ANY_DATA = (None, DataContract())


@pytest.fixture
def make_worker(make_program, tmp_path: Path):
    def make(policy: ReleasePolicy = POLICY, site: str = "a", data_is=ANY_DATA, **sections):
        told: list[tuple[str, dict]] = []
        receipts = Receipts(tmp_path / f"{site}.jsonl")
        program = make_program(**sections)

        def tell(event: str, fields: Mapping) -> None:
            told.append((event, dict(fields)))

        worker = Worker(program, policy, receipts, tell, site, data=data_is)
        return worker, told, tmp_path / f"{site}.jsonl"

    return make


def kept(output):
    return {name: np.array(value) for name, value in output.arrays.items()}


def receipts_of(path: Path) -> list[dict]:
    read_receipts(path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_round_from_description_to_update(make_worker) -> None:
    worker, told, path = make_worker()
    card = worker.handle(RoundInput("t0", "describe", config={"seed": 7})).card
    assert card.samples["train"] == 64
    start = kept(worker.handle(RoundInput("t1", "initialise", config={"seed": 7})))
    config = {"seed": 7, "epochs": 2, "evaluate": True}
    output = worker.handle(RoundInput("t2", "train", 1, start, config))
    assert (output.task_id, output.kind, output.round, output.num_examples) == ("t2", "train", 1, 64)
    assert set(output.evaluation.metrics) == {"loss", "accuracy"}
    assert (output.validation.num_examples, output.evaluation.num_examples) == (16, 40)
    assert set(output.seconds) == {"train", "evaluate", "validate"}
    assert not np.array_equal(output.arrays["layers.0.weight"], start["layers.0.weight"])
    last = worker.handle(RoundInput("t3", "evaluate", 1, kept(output), {"seed": 7}))
    assert last.arrays is None
    assert sum(map(sum, last.evaluation.confusion)) == 40
    entries = receipts_of(path)
    assert [(entry["task_id"], entry["event"]) for entry in entries] == [
        (f"t{k}", event) for k in range(4) for event in ("received", "released")
    ]
    assert entries[4]["arrays_digest"] == arrays_digest(start)
    assert entries[4]["details"] == {"bytes": sum(value.nbytes for value in start.values())}
    assert entries[5]["details"]["metrics"] == "accuracy, loss"
    names = [event for event, _ in told]
    assert names[:3] == ["preparing", "card", "released"]
    assert names.index("evaluated") < names.index("training") < len(names)


def test_a_round_is_the_same_after_a_restart_and_differs_by_site(make_worker) -> None:
    config = {"seed": 7, "epochs": 1, "evaluate": True}
    first, second, other = (make_worker(site=site)[0] for site in ("a", "a", "b"))
    start = kept(first.handle(RoundInput("t1", "initialise", config=config)))
    one = kept(first.handle(RoundInput("t2", "train", 1, start, config)))
    two = kept(first.handle(RoundInput("t3", "train", 2, one, config)))
    again = kept(second.handle(RoundInput("t4", "train", 2, one, {**config, "evaluate": False})))
    elsewhere = kept(other.handle(RoundInput("t5", "train", 2, one, config)))
    assert all(np.array_equal(two[name], again[name]) for name in two)
    assert not all(np.array_equal(two[name], elsewhere[name]) for name in two)


def test_a_server_that_lost_an_update_gets_it_again_without_training(make_worker) -> None:
    worker, told, path = make_worker()
    describe = RoundInput("t0", "describe", config={"seed": 7})
    start = kept(worker.handle(RoundInput("t1", "initialise", config={"seed": 7})))
    task = RoundInput("t2", "train", 1, start, {"seed": 7, "epochs": 1, "evaluate": True}, "5:sha256:a")
    first = worker.handle(task)
    before = kept(first)
    worker.handle(describe)
    again = worker.handle(dataclasses.replace(task, arrays=dict(start), ledger="6:sha256:b"))
    told_heads = [entry["details"].get("ledger") for entry in receipts_of(path) if entry["task_id"] == "t2"]
    assert told_heads == ["5:sha256:a", None, "6:sha256:b", None]
    assert ("kept", {"round": 1}) in told
    assert [name for name, _ in told].count("training") == 1
    assert dataclasses.replace(again, arrays=None, receipts=()) == dataclasses.replace(
        first, arrays=None, receipts=()
    )
    assert all(np.array_equal(again.arrays[name], before[name]) for name in before)
    last = receipts_of(path)[-2:]
    assert [entry["event"] for entry in last] == ["received", "released"]
    assert last[1]["arrays_digest"] == arrays_digest(before)
    worker.handle(RoundInput("t3", "evaluate", 1, before, {"seed": 7}))  # needs the model's memory
    worker.handle(task)
    assert [name for name, _ in told].count("training") == 2


@pytest.mark.parametrize("other", ["model", "epochs", "round"])
def test_another_task_is_trained_anew(make_worker, other: str) -> None:
    worker, told, _ = make_worker()
    start = kept(worker.handle(RoundInput("t1", "initialise", config={"seed": 7})))
    task = RoundInput("t2", "train", 1, start, {"seed": 7, "epochs": 1})
    change = {
        "model": {"arrays": {name: value + 1 for name, value in start.items()}},
        "epochs": {"config": {"seed": 7, "epochs": 2}},
        "round": {"round": 2},
    }[other]
    worker.handle(task)
    worker.handle(dataclasses.replace(task, **change))
    assert [name for name, _ in told].count("training") == 2


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("[int(p) for x, y in testloader for p in net(x).argmax(1)]", "'result' is a list"),
        ("(0.5, 0.9, [1, 0, 1])", "'result 3' is a list"),
        (
            "{'loss': 0.5, 'predictions': net(testloader.dataset.tensors[0])}",
            r"'predictions' is a Tensor\[40, 2\]",
        ),
        ("(0.5, np.zeros(40))", r"'accuracy' is a ndarray\[40\]"),
        ("{'loss': [0.1] * 40}", "'loss' is a list"),
        ("'patient 12'", "'result' is a str"),
        ("{'patient_12': 0.4}", "'patient_12' is not declared"),
        ("0.25", "'result' is not declared"),
    ],
)
def test_raw_predictions_and_lists_never_leave(make_worker, result, said) -> None:
    worker, told, path = make_worker(test=f"import numpy as np\nnbfed_test_result = {result}")
    start = kept(worker.handle(RoundInput("t1", "initialise")))
    for task in (
        RoundInput("t2", "evaluate", 1, start),
        RoundInput("t3", "train", 1, start, {"evaluate": True}),
    ):
        with pytest.raises(ReleaseRefused, match=said):
            worker.handle(task)
        refused = receipts_of(path)[-1]
        assert refused["event"] == "refused"
        assert refused["details"]["reason"].startswith("NE603 Metric")
        assert refused["arrays_digest"] == ""
        assert told[-1][0] == "failed"


def test_training_that_diverges_or_grows_the_model_never_leaves(make_worker) -> None:
    for train, said in [
        ("net.layers[0].weight.data[0, 0] = float('nan')", "NaN"),
        ("net.extra = torch.nn.Linear(2, 2)", "extra"),
        ("net.layers[2] = torch.nn.Linear(8, 3)", r"float32\[3, 8\]"),
        ("net.double()", "float64"),
    ]:
        worker, _, path = make_worker(train=train)
        start = kept(worker.handle(RoundInput("t1", "initialise")))
        with pytest.raises(ReleaseRefused, match=said):
            worker.handle(RoundInput("t2", "train", 1, start))
        assert [entry["event"] for entry in receipts_of(path)][-2:] == ["received", "refused"]


def test_too_few_examples_and_too_many_bytes_never_leave(make_worker) -> None:
    worker, _, _ = make_worker(ReleasePolicy(min_examples=65))
    start = kept(worker.handle(RoundInput("t1", "initialise")))
    with pytest.raises(ReleaseRefused, match="64 samples; at least 65"):
        worker.handle(RoundInput("t2", "train", 1, start))
    worker, _, _ = make_worker(ReleasePolicy(max_bytes=100))
    with pytest.raises(ReleaseRefused, match="at most 100"):
        worker.handle(RoundInput("t1", "initialise"))


def test_tasks_that_make_no_sense_are_refused_and_recorded(make_worker) -> None:
    worker, _, path = make_worker()
    for task, said in [
        (dataclasses.replace(RoundInput("t1", "train"), kind="upload"), "no task 'upload'"),
        (RoundInput("t2", "train", 1), "without a model"),
        (RoundInput("t3", "evaluate", 1, {"w": np.zeros(2)}), "as nothing, not"),
    ]:
        with pytest.raises(TaskRefused, match=said):
            worker.handle(task)
        assert receipts_of(path)[-1]["details"]["reason"].startswith("NE604")


def test_a_failure_of_one_task_leaves_the_site_able_to_do_the_next(make_worker) -> None:
    train = """
    if epochs == 3:
        net.layers[0].weight.data.fill_(9.0)
        raise ValueError("patient 12")
    train(net, trainloader, valloader, epochs)
    """
    worker, told, path = make_worker(train=train)
    start = kept(worker.handle(RoundInput("t1", "initialise")))
    one = kept(worker.handle(RoundInput("t2", "train", 1, start, {"epochs": 1})))
    with pytest.raises(SiteCodeFailed) as caught:
        worker.handle(RoundInput("t3", "train", 1, start, {"epochs": 3}))
    assert worker.describe(caught.value).where == "notebook cell 4, line 3"
    assert told[-1][1]["source"] == 'raise ValueError("patient 12")'
    assert "patient 12" not in path.read_text()
    assert "patient 12" not in told[-1][1]["what"]
    again = kept(worker.handle(RoundInput("t4", "train", 1, start, {"epochs": 1})))
    assert all(np.array_equal(one[name], again[name]) for name in one)


def test_a_site_with_nothing_to_test_on_trains_but_does_not_evaluate(make_worker) -> None:
    data = """
    trainloader = DataLoader(blobs(64, 1), batch_size=16)
    testloader = DataLoader(TensorDataset(torch.zeros(0, 4), torch.zeros(0)), batch_size=2)
    valloader = num_examples = None
    """
    worker, _, _ = make_worker(data=data)
    start = kept(worker.handle(RoundInput("t1", "initialise")))
    assert worker.handle(RoundInput("t2", "train", 1, start, {"evaluate": True})).evaluation is None
    with pytest.raises(SiteDataFailed, match="no test sample"):
        worker.handle(RoundInput("t3", "evaluate", 1, start))


def test_being_told_to_stop_is_no_failure_of_the_notebook(make_worker) -> None:
    train = """
    import signal
    try:
        signal.raise_signal(signal.SIGUSR1)
    except Exception:
        pass
    """
    worker, told, path = make_worker(train=train)
    start = kept(worker.handle(RoundInput("t1", "initialise")))
    running: list[bool] = []

    def end(number: int, frame: object) -> None:
        running.append(worker.interruptible)
        raise Stopped

    before = signal.signal(signal.SIGUSR1, end)
    try:
        with pytest.raises(Stopped):
            worker.handle(RoundInput("t2", "train", 1, start))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert running == [True]
    assert worker.interruptible is False
    assert told[-1][0] == "training"
    assert receipts_of(path)[-1]["event"] == "received"


def test_a_broken_data_folder_is_tried_again_with_the_next_task(make_worker, tmp_path: Path) -> None:
    marker = tmp_path / "mounted"
    data = (
        f"open({str(marker)!r}).close()\ntrainloader, valloader, testloader, num_examples = load_data(None)"
    )
    worker, _, _ = make_worker(data=data)
    with pytest.raises(SiteCodeFailed, match="FileNotFoundError") as caught:
        worker.handle(RoundInput("t1", "describe"))
    assert "lacks a file" in caught.value.hint
    marker.touch()
    assert worker.handle(RoundInput("t2", "describe")).card.samples["train"] == 64


READS_A_FILE = """
size = len(open(FOLDER + "/rows.csv").readlines())
trainloader = testloader = DataLoader(blobs(size, 1), batch_size=16)
valloader = num_examples = None
"""


def test_data_that_misses_the_contract_is_told_and_looked_at_again_when_mended(make_worker, tmp_path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    contract = DataContract(("rows.csv",), {"rows.csv": ("age",)}, ("0", "1"), minimum={"train": 6})
    data = READS_A_FILE.replace("FOLDER", repr(str(folder)))
    worker, told, _ = make_worker(data_is=(folder, contract), data=data)
    with pytest.raises(DataUnfit) as caught:
        worker.handle(RoundInput("t1", "describe"))
    failure = worker.describe(caught.value)
    assert failure.what.endswith("data contract asks for. No file matches rows.csv.")
    assert (failure.code, failure.where) == ("NE606", "notebook cell 2, line 1")
    (folder / "rows.csv").write_text("years\n1\n2\n")
    card = worker.handle(RoundInput("t2", "describe")).card
    unfit = ("rows.csv: 1 of 1 tables lack declared columns: age.", "train: 3 samples, at least 6 needed.")
    assert card.unfit == unfit
    assert told[-2] == ("unfit", {"what": " ".join(unfit)})
    (folder / "rows.csv").write_text("age\n" * 6)
    assert worker.handle(RoundInput("t3", "describe")).card.unfit == ()
    (folder / "rows.csv").unlink()
    assert worker.handle(RoundInput("t4", "describe")).card.unfit == ()  # what fitted is kept in memory


def test_an_error_that_nobody_foresaw_is_whole_in_the_site_s_log_alone(make_worker, capfd) -> None:
    worker, told, _ = make_worker()
    with pytest.raises(ValueError, match="Ms Smith"):
        worker.handle(RoundInput("t1", "describe", config={"seed": "Ms Smith"}))
    assert "Traceback" in (log := capfd.readouterr().err)
    assert "Ms Smith" in log
    assert told[-1][1]["what"] == "The site program failed with ValueError."


def test_code_that_fails_on_fitting_data_is_the_code_s_failure(make_worker, tmp_path) -> None:
    worker, _, _ = make_worker(data_is=(tmp_path, DataContract(labels=("0", "1"))), data="raise ValueError")
    with pytest.raises(SiteCodeFailed):
        worker.handle(RoundInput("t1", "describe"))
