"""Bad data at a site: counted and said before round 1."""

import pytest
from nbfed_site.contracts import SiteCodeFailed, SiteDataFailed
from nbfed_site.program import Partition, Progress

FILES = """
class Files(torch.utils.data.Dataset):
    def __init__(self, size, bad, exposed):
        self.size, self.bad = size, set(bad)
        if exposed:
            self.targets = [k % 2 for k in range(size)]
    def __len__(self):
        return self.size
    def __getitem__(self, k):
        if k in self.bad:
            raise OSError(f"cannot identify image file secret-{k}.png")
        return torch.full((4,), float(k)), k % 2

trainloader = DataLoader(Files(20, TRAIN_BAD, EXPOSED), batch_size=4, shuffle=True, num_workers=WORKERS)
valloader = DataLoader(Files(10, [], EXPOSED), batch_size=4)
testloader = DataLoader(Files(20, [0, 3], EXPOSED), batch_size=4)
num_examples = {"trainset": 20, "valset": 10, "testset": 20}
"""


def files(bad, exposed: bool = False, workers: int = 0) -> str:
    return (
        FILES.replace("TRAIN_BAD", str(bad)).replace("EXPOSED", str(exposed)).replace("WORKERS", str(workers))
    )


@pytest.mark.parametrize("exposed", [True, False])
@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_samples_are_counted_and_left_out(make_program, exposed, workers) -> None:
    reports: list[Progress] = []
    program = make_program(data=files([1, 2, 5], exposed, workers), reports=reports)
    card = program.prepare(1)
    assert card.samples == {"train": 17, "validation": 10, "test": 18}
    assert card.unreadable == {"train": 3, "validation": 0, "test": 2}
    assert card.classes["train"] == {"0": 9, "1": 8}
    assert "train: 3 of 20 samples cannot be read and are left out." in card.warnings
    assert program.fit(program.initial(1), {"seed": 1, "epochs": 1})[1] == 17
    evaluation = program.evaluate(program.initial(1), {})
    assert evaluation.num_examples == 18
    assert sum(map(sum, evaluation.confusion)) == 18
    assert reports[0].phase == "prepare"
    assert reports[0].batches == 20


@pytest.mark.parametrize("exposed", [True, False])
def test_if_no_sample_can_be_read_the_code_is_at_fault(make_program, exposed) -> None:
    with pytest.raises(SiteCodeFailed) as caught:
        make_program(data=files(range(20), exposed)).prepare(1)
    assert caught.value.where == "notebook cell 2, line 10"
    assert "OSError" in caught.value.what
    assert "secret" not in str(caught.value)


def test_one_class_and_empty_splits_are_warned_of(make_program) -> None:
    data = """
    ones = TensorDataset(torch.zeros(6, 4), torch.ones(6))
    trainloader = DataLoader(ones, batch_size=2)
    valloader = DataLoader(TensorDataset(torch.zeros(0, 4), torch.zeros(0)), batch_size=2)
    testloader = DataLoader(TensorDataset(torch.zeros(0, 4), torch.zeros(0)), batch_size=2)
    num_examples = {"trainset": 7, "valset": 0, "testset": 0}
    """
    program = make_program(data=data)
    card = program.prepare(1)
    assert card.classes["train"] == {"1": 6}
    assert set(card.warnings) == {
        "train: the notebook says 7 samples, its loader has 6.",
        "train: all samples are of one class.",
        "validation: there is no sample.",
        "test: there is no sample.",
    }
    assert program.evaluate(program.initial(1), {}) is None


def test_a_site_without_training_data_says_so(make_program) -> None:
    data = """
    trainloader = DataLoader(TensorDataset(torch.zeros(0, 4), torch.zeros(0)), batch_size=2)
    valloader = testloader = num_examples = None
    """
    with pytest.raises(SiteDataFailed, match="no training sample"):
        make_program(data=data).prepare(1)


def test_values_that_are_no_classes_are_not_counted_as_such(make_program) -> None:
    data = """
    ages = TensorDataset(torch.zeros(6, 4), torch.tensor([63.0, 71.0, 55.0, 63.0, 80.0, 41.0]))
    trainloader = testloader = DataLoader(ages, batch_size=2)
    valloader = num_examples = None
    """
    card = make_program(data=data).prepare(1)
    assert card.samples == {"train": 6, "test": 6}
    assert card.classes == {}


def test_an_iterable_of_unknown_length_is_counted_by_the_notebook(make_program) -> None:
    data = """
    class Stream:
        def __iter__(self):
            yield from DataLoader(blobs(12, 1), batch_size=4)
    trainloader = testloader = Stream()
    valloader = None
    num_examples = {"trainset": 12, "testset": 12}
    """
    program = make_program(data=data)
    assert program.prepare(1).samples == {"train": 12, "test": 12}
    assert program.fit(program.initial(1), {"epochs": 1})[1] == 12
    with pytest.raises(SiteDataFailed, match="no training sample"):
        make_program(data=data.replace('12, "testset": 12}', "0}")).prepare(1)


def test_a_list_of_batches_is_counted(make_program) -> None:
    data = """
    trainloader = testloader = list(DataLoader(blobs(13, 1), batch_size=4))
    valloader = num_examples = None
    """
    card = make_program(data=data).prepare(1)
    assert card.samples["train"] == 13
    assert card.classes["train"] == {"0": 7, "1": 6}


def test_arrays_in_memory_are_counted_and_single_classes_warned_of(make_program) -> None:
    data = """
    x, y = torch.randn(12, 4), torch.tensor([1.0, 0.0, 0.0] * 4)
    trainloader, testloader = (x, y[:, None]), (x[y == 0].numpy(), y[y == 0].numpy())
    valloader = num_examples = None
    """
    card = make_program(data=data).prepare(1)
    assert card.samples == {"train": 12, "test": 8}
    assert card.classes == {"train": {"0": 8, "1": 4}, "test": {"0": 8}}
    assert card.warnings == ("test: all samples are of one class.",)


UNTOLD = """
x_train, y_train = torch.randn(12, 4), torch.ones(12)
trainloader = valloader = testloader = None
num_examples = {}
"""


def test_samples_that_cannot_be_counted_stop_a_site_before_round_1(make_program) -> None:
    with pytest.raises(SiteDataFailed, match="how many train samples") as caught:
        make_program(data=UNTOLD.replace("{}", "None")).prepare(1)
    assert "num_examples = {" in caught.value.hint


def test_the_notebook_may_say_how_many_there_are(make_program) -> None:
    loop = "net(x_train[:4]).sum().backward()"
    program = make_program(
        data=UNTOLD.replace("{}", "dict(trainset=12, testset=7)"), train=loop, test="x = 1"
    )
    assert program.prepare(1).samples == {"train": 12, "test": 7}
    assert program.fit(program.initial(1), {})[1] == 12
    assert program.evaluate(program.initial(1), {}).num_examples == 7


def test_an_untold_test_set_is_no_test_of_nothing(make_program) -> None:
    program = make_program(data=UNTOLD.replace("{}", "dict(trainset=12)"), train="pass", test="x = 1")
    program.prepare(1)
    with pytest.raises(SiteDataFailed, match="how many test samples"):
        program.evaluate(program.initial(1), {})


@pytest.mark.parametrize("kind", ["", "pd.DataFrame", "pd.Series"])
def test_arrays_are_shared_out_row_by_row(make_program, kind: str) -> None:
    data = f"""
    import pandas as pd
    x, y = torch.randn(12, 4).numpy(), (torch.arange(12) % 2).numpy()
    held = {kind}(x[:, 0] if {kind == "pd.Series"} else x)
    trainloader = (held, y) if {kind == ""} else (held, pd.Series(y, index=range(100, 112)))
    testloader = (held,)
    valloader = num_examples = None
    """
    cards = [make_program(data=data, partition=Partition(k, 3)).prepare(1) for k in range(3)]
    assert [card.samples for card in cards] == [{"train": 4, "test": 4}] * 3
    assert [card.classes for card in cards] == [{"train": {"0": 2, "1": 2}}] * 3


def test_a_data_set_that_fails_when_it_is_counted_is_named(make_program) -> None:
    data = """
    class Broken(torch.utils.data.Dataset):
        def __len__(self):
            return self.rows
    trainloader = DataLoader(Broken(), batch_size=2, sampler=range(3))
    testloader = valloader = num_examples = None
    """
    with pytest.raises(SiteCodeFailed, match="data code raised AttributeError") as caught:
        make_program(data=data).prepare(1)
    assert caught.value.where == "notebook cell 2, line 3"
