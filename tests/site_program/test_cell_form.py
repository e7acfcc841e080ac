"""The cell form: an inline loop whose optimizer, counters and streams live across rounds."""

import numpy as np
import pytest
from nbfed_site.contracts import Names, Parameter

CELLS = {
    "setup": """
import random
import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

best_loss = float("inf")
history = []
rng = np.random.default_rng(0)

class EarlyStopping:
    def __init__(self):
        self.waited = 0
        self.stop = False

    def __call__(self):
        self.waited += 1
        self.stop = self.waited >= 3

stopping = EarlyStopping()
""",
    "data": """
x = torch.randn(48, 3)
y = (x.sum(1) > 0).long()
dataset = TensorDataset(x, y)
train_loader = DataLoader(dataset, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(4))
test_loader = DataLoader(dataset, batch_size=48)
""",
    "model": """
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.3), torch.nn.Linear(4, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
""",
    "train": """
for epoch in range(num_epochs):
    for xb, yb in train_loader:
        loss = torch.nn.functional.cross_entropy(model(xb), yb) * rng.uniform(0.9, 1.1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    history.append(loss.item())
    scheduler.step()
    stopping()
    if stopping.stop:
        break
final = loss.item() + random.random() + torch.rand(()).item()
loss.backward if False else torch.nn.functional.cross_entropy(model(x), y).backward()
""",
    "test": """
model.eval()
with torch.no_grad():
    for xb, yb in test_loader:
        out = model(xb)
        test_loss = torch.nn.functional.cross_entropy(out, yb).item()
        test_acc = (out.argmax(1) == yb).float().mean().item()
wrong = [1, 2, 3]
""",
}
NAMES = Names("model", "train_loader", None, "test_loader", metrics=("test_loss", "test_acc", "wrong"))


@pytest.fixture
def program(make_program):
    made = make_program(names=NAMES, parameters=(Parameter("num_epochs", "epochs", 2),), **CELLS)
    made.prepare(3)
    return made


def copied(arrays):
    return {name: np.array(value) for name, value in arrays.items()}


def same(one, two) -> bool:
    return all(np.array_equal(one[name], two[name]) for name in one)


def test_state_across_rounds_does_not_leak_into_a_round(program) -> None:
    start = copied(program.initial(3))
    config = {"seed": 9, "epochs": 2}
    first = copied(program.fit(start, config)[0])
    program.fit(first, {"seed": 8, "epochs": 4})
    program.evaluate(first, {"seed": 8})
    assert same(first, copied(program.fit(start, config)[0]))
    assert not same(first, copied(program.fit(start, {"seed": 10, "epochs": 2})[0]))
    assert not same(first, start)


def test_early_stopping_starts_afresh_each_round(program) -> None:
    start = copied(program.initial(3))
    long = copied(program.fit(start, {"seed": 9, "epochs": 9})[0])
    assert same(long, copied(program.fit(start, {"seed": 9, "epochs": 3})[0]))


def test_epochs_default_to_the_notebook_own(program) -> None:
    start = copied(program.initial(3))
    assert same(copied(program.fit(start, {"seed": 9})[0]), program.fit(start, {"seed": 9, "epochs": 2})[0])


def test_loose_metrics_leave_under_their_common_names(program) -> None:
    evaluation = program.evaluate(copied(program.initial(3)), {})
    assert set(evaluation.metrics) == {"loss", "accuracy"}
    assert evaluation.num_examples == 48
    assert evaluation.warnings == ()


def test_a_model_that_training_replaced_is_the_one_that_leaves(make_program) -> None:
    train = CELLS["train"] + "\nimport copy\nmodel = copy.deepcopy(model)\nmodel[0].weight.data.fill_(7.0)\n"
    program = make_program(
        names=NAMES,
        parameters=(Parameter("num_epochs", "epochs", 2),),
        **{**CELLS, "train": train},
    )
    program.prepare(3)
    start = copied(program.initial(3))
    assert np.all(program.fit(start, {"seed": 1})[0]["0.weight"] == 7.0)
    assert program.evaluate(start, {"seed": 1}).confusion == program.evaluate(start, {"seed": 2}).confusion


def test_classes_of_the_notebook_can_be_pickled(make_program) -> None:
    model = """
import dataclasses, io

@dataclasses.dataclass
class Settings:
    width: int = 3

class Net(torch.nn.Linear):
    pass

net = Net(4, 2)
buffer = io.BytesIO()
torch.save(net, buffer)
assert __name__ == "__main__"
"""
    program = make_program(model=model)
    assert len(program.prepare(1).arrays) == 2
