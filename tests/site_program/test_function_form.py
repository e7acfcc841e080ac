"""The function form: the blocks of the template behind one program."""

import numpy as np
import pytest
from nbfed_site.contracts import BadInput, SettingsInvalid, TaskRefused
from nbfed_site.program import Progress


def copied(arrays):
    return {name: np.array(value) for name, value in arrays.items()}


def test_a_card_counts_each_split_by_class(make_program) -> None:
    card = make_program().prepare(7)
    assert card.samples == {"train": 64, "validation": 16, "test": 40}
    assert card.classes["train"] == {"0": 32, "1": 32}
    assert card.unreadable == {"train": 0, "validation": 0, "test": 0}
    assert card.warnings == ()
    assert [spec.name for spec in card.arrays][:2] == ["layers.0.weight", "layers.0.bias"]
    assert card.arrays[-3].name == "layers.1.num_batches_tracked"
    assert card.arrays[-3].dtype == "int64"


def test_a_round_depends_only_on_arrays_and_seed(make_program) -> None:
    one, two = make_program(), make_program()
    one.prepare(7)
    two.prepare(7)
    start = copied(one.initial(7))
    assert all(np.array_equal(start[name], value) for name, value in two.initial(7).items())
    config = {"seed": 11, "epochs": 2}
    first = copied(one.fit(start, config)[0])
    two.fit(first, {"seed": 5, "epochs": 1})
    two.evaluate(first, {"seed": 6})
    again, examples = two.fit(start, config)
    assert examples == 64
    assert all(np.array_equal(first[name], again[name]) for name in start)
    assert not np.array_equal(first["layers.0.weight"], start["layers.0.weight"])
    assert all(np.array_equal(start[name], value) for name, value in copied(two.initial(7)).items())


def test_evaluation_counts_what_the_notebook_counts(make_program) -> None:
    program = make_program()
    program.prepare(7)
    trained = copied(program.fit(program.initial(7), {"seed": 1, "epochs": 3})[0])
    evaluation = program.evaluate(trained, {"seed": 1})
    assert evaluation is not None
    assert evaluation.num_examples == 40
    assert evaluation.warnings == ()
    assert evaluation.labels == ("0", "1")
    correct = evaluation.confusion[0][0] + evaluation.confusion[1][1]
    assert correct / 40 == evaluation.metrics["accuracy"]
    assert correct > 30


def test_epochs_come_from_the_task_and_are_reported(make_program) -> None:
    reports: list[Progress] = []
    program = make_program(reports=reports)
    program.prepare(7)
    program.fit(program.initial(7), {"seed": 1, "epochs": 3})
    epochs = [report.epoch for report in reports if report.phase == "train"]
    assert sorted(set(epochs)) == [1, 2, 3]
    assert all(report.epochs == 3 and report.batches == 4 for report in reports if report.phase == "train")


def test_proximal_term_keeps_the_model_near_the_global_one(make_program) -> None:
    program = make_program()
    program.prepare(7)
    start = copied(program.initial(7))

    def distance(mu: float) -> float:
        arrays = program.fit(start, {"seed": 1, "epochs": 3, "proximal_mu": mu})[0]
        return sum(float(np.square(arrays[name] - start[name]).sum()) for name in start if "weight" in name)

    free, near = distance(0.0), distance(1.0)
    assert near < 0.5 * free
    assert distance(0.0) == free


def test_arrays_of_another_model_are_refused(make_program) -> None:
    program = make_program()
    program.prepare(7)
    arrays = copied(program.initial(7))
    with pytest.raises(TaskRefused, match=r"layers\.0\.weight"):
        program.fit({**arrays, "layers.0.weight": np.zeros((8, 5), np.float32)}, {})
    with pytest.raises(TaskRefused, match="as nothing, not"):
        program.fit({}, {})
    with pytest.raises(TaskRefused, match="odd"):
        program.evaluate({**arrays, "odd": np.zeros(1)}, {})


def test_a_slice_changed_after_it_was_cut_is_refused(make_slice, make_program) -> None:
    from nbfed_site.program import Program

    folder = make_slice()
    (folder / "slice.py").write_text("print('hello')\n")
    with pytest.raises(BadInput, match="manifest"):
        Program(folder, {}, None, lambda progress: None)
    with pytest.raises(BadInput, match="cannot be read"):
        Program(folder / "nothing", {}, None, lambda progress: None)


def test_a_parameter_that_the_notebook_lacks_is_refused(make_program) -> None:
    with pytest.raises(SettingsInvalid, match="data_path"):
        make_program({"data_path": "/data"}, parameters=())


def test_parameters_reach_the_blocks_before_setup(make_program) -> None:
    from nbfed_site.contracts import Parameter

    setup = "from __future__ import annotations\nROOT = 'data/'\nTRAIN = ROOT + 'train'\nasked: str = TRAIN\n"
    data = (
        "trainloader, valloader, testloader, num_examples = load_data(asked)\nassert asked == '/site/train'"
    )
    from_conftest = "import torch\n"
    program = make_program(
        {"data_path": "/site"},
        parameters=(Parameter("ROOT", "data_path", "data/"),),
        setup=setup + from_conftest + LOAD,
        data=data,
        model="net = torch.nn.Linear(1, 2)",
    )
    assert program.prepare(1).samples["train"] == 12


LOAD = """
def load_data(path):
    data = torch.utils.data.TensorDataset(torch.zeros(12, 1), torch.arange(12) % 3)
    return [torch.utils.data.DataLoader(data, batch_size=4)] * 3 + [None]
"""
