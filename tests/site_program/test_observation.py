"""Confusion counts from the notebook's own test run: right, or none with the reason."""

import numpy as np
import pytest

COUNTED = """
import torch
class Fixed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
    def forward(self, x):
        return OUTPUT
"""
DATA = """
draw = np.random.default_rng(0)
x = torch.tensor(draw.normal(size=(50, 1)), dtype=torch.float32)
y = torch.tensor(draw.integers(0, 2, 50))
guess = (x[:, 0] > 0).long()
set_ = torch.utils.data.TensorDataset(x, LABELS)
trainloader = torch.utils.data.DataLoader(set_, batch_size=7)
testloader = torch.utils.data.DataLoader(set_, batch_size=7)
"""
TEST = """
for x_, y_ in testloader:
    net(x_)
nbfed_test_result = (0.5, (guess == y).float().mean().item())
"""


@pytest.fixture
def observe(make_program):
    """Evaluates a model that guesses the sign of x, and gives the evaluation and the true counts."""

    def run(output: str, labels: str = "y", test: str = TEST, data: str = ""):
        program = make_program(
            setup="data_path = None\nepochs = 1\nimport numpy as np\n" + COUNTED.replace("OUTPUT", output),
            data=DATA.replace("LABELS", labels) + data,
            model="net = Fixed()",
            train="pass",
            test=test,
        )
        program.prepare(1)
        return program.evaluate(program.initial(1), {"seed": 1})

    draw = np.random.default_rng(0)
    guess = (draw.normal(size=(50, 1))[:, 0].astype(np.float32) > 0).astype(int)
    truth = draw.integers(0, 2, 50)
    counts = tuple(tuple(int(((truth == t) & (guess == g)).sum()) for g in (0, 1)) for t in (0, 1))
    return run, counts


@pytest.mark.parametrize(
    ("output", "labels"),
    [
        ("torch.cat([-x, x], 1)", "y"),
        ("torch.cat([-x, x], 1)", "y[:, None]"),
        ("torch.cat([-x, x], 1)", "torch.nn.functional.one_hot(y)"),
        ("torch.cat([-x, x], 1)", "torch.nn.functional.one_hot(y).float()"),
        ("x", "y.float()"),
        ("x[:, 0]", "y.float()[:, None]"),
        ("torch.sigmoid(x)", "y.float()"),
        ("torch.sigmoid(x * 9)[:, 0]", "y.bool()"),
        ("(torch.cat([-x, x], 1), x)", "y"),
        ("{'aux': x, 'logits': torch.cat([-x, x], 1)}", "y"),
        ("{'scores': torch.cat([-x, x], 1)}", "y"),
        ("__import__('types').SimpleNamespace(logits=torch.cat([-x, x], 1))", "y"),
        ("torch.cat([-x, x], 1).to(torch.bfloat16)", "y.to(torch.uint8)"),
    ],
)
def test_counts_are_those_of_the_labels_and_outputs(observe, output: str, labels: str) -> None:
    run, counts = observe
    evaluation = run(output, labels)
    assert evaluation.confusion == counts
    assert evaluation.num_examples == 50
    assert evaluation.warnings == ()


def test_a_third_class_gets_its_row(observe) -> None:
    run, _ = observe
    evaluation = run("torch.cat([-x, x, -9 + 0 * x], 1)", "y + 1")
    assert len(evaluation.confusion) == 3
    assert sum(map(sum, evaluation.confusion)) == 50
    assert evaluation.confusion[0] == (0, 0, 0)
    assert evaluation.labels == ("0", "1", "2")


@pytest.mark.parametrize(
    "loaders",
    [
        "testloader = list(testloader)",
        "testloader = tuple(testloader)",
        """
class Half:
    def __init__(self, inner):
        self.inner = inner
    def __iter__(self):
        for batch in self.inner:
            yield batch
testloader = Half(testloader)
num_examples = {"trainset": 50, "testset": 50}
""",
        """
class Own(torch.utils.data.DataLoader):
    def __iter__(self):
        for batch in super().__iter__():
            yield {"image": batch[0], "label": batch[1]}
testloader = Own(set_, batch_size=9)
""",
        "testloader = torch.utils.data.DataLoader(set_, batch_size=7, num_workers=1)",
    ],
)
def test_other_loaders_are_observed_too(observe, loaders: str) -> None:
    run, counts = observe
    test = """
for batch in testloader:
    net(batch["image"] if isinstance(batch, dict) else batch[0])
nbfed_test_result = (0.5, 50.0 * 0 + 100 * (guess == y).float().mean().item())
"""
    evaluation = run("torch.cat([-x, x], 1)", data=loaders, test=test)
    assert evaluation.confusion == counts
    assert evaluation.warnings == ()


def test_a_test_set_held_in_memory_is_observed(observe) -> None:
    run, counts = observe
    test = "net(testloader[0])\nnbfed_test_result = {'test_loss': torch.tensor(0.5)}"
    evaluation = run("torch.cat([-x, x], 1)", data="testloader = (x, y)", test=test)
    assert evaluation.confusion == counts


PARTS = """
for k in range(0, 50, 7):
    net(ROWS)
nbfed_test_result = (0.5, (guess == y).float().mean().item())
"""


@pytest.mark.parametrize("held", ["x", "x.numpy()", "x.double().numpy() * (1 + 1e-12)"])
def test_slices_of_a_test_set_held_in_memory_are_paired_by_their_rows(observe, held: str) -> None:
    run, counts = observe
    test = PARTS.replace("ROWS", "torch.as_tensor(testloader[0][k:k+7]).float().requires_grad_()")
    evaluation = run("torch.cat([-x, x], 1)", data=f"testloader = ({held}, y)", test=test)
    assert evaluation.confusion == counts
    assert evaluation.warnings == ()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("x[torch.randperm(50)[:7]]", "does not fit"),
        ("x[k:k+8]", "does not fit"),
        ("x[k:k+7] * 2", "does not fit"),
        ("x[k:k+7].to(torch.bfloat16)", "does not fit"),
        ("x[k:k+7] if k < 49 else x[:1]", "does not fit"),
        ("x[k:k+7]) if k < 28 else (0", "every batch"),
    ],
)
def test_other_rows_of_it_are_not_counted(observe, rows: str, reason: str) -> None:
    run, _ = observe
    evaluation = run("torch.cat([-x, x], 1)", data="testloader = (x, y)", test=PARTS.replace("ROWS", rows))
    assert evaluation.confusion is None
    assert evaluation.num_examples == 50
    assert reason in evaluation.warnings[0]


def test_passes_over_other_loaders_and_before_the_loop_do_not_count(observe) -> None:
    run, counts = observe
    test = "net(x)\nfor x_, y_ in trainloader:\n    net(x_)\n" + TEST + "\nnet(x)\nnext(iter(testloader))\n"
    assert run("torch.cat([-x, x], 1)", test=test).confusion == counts


def test_two_equal_passes_count_once(observe) -> None:
    run, counts = observe
    assert run("torch.cat([-x, x], 1)", test=TEST + TEST).confusion == counts


@pytest.mark.parametrize(
    ("output", "labels", "test", "reason"),
    [
        ("torch.cat([-x, x], 1)", "y", TEST.replace("net(x_)", "net(x_); net(x_)"), "more than once"),
        ("torch.cat([-x, x], 1)", "y", TEST.replace("net(x_)", "net(x_[:3])"), "does not fit"),
        ("torch.cat([-x, x], 1)", "y", TEST.replace("net(x_)", "net.forward(x_)"), "does not call the model"),
        ("torch.cat([-x, x], 1)", "y", TEST.replace("net(x_)", "len(x_) == 7 and net(x_)"), "every batch"),
        ("torch.cat([-x, x], 1)", "x[:, 0]", TEST, "not classes"),
        ("torch.cat([-x, x], 1)", "y + 1", TEST, "beyond"),
        ("x[:, :, None, None].expand(-1, 2, 3, 3)", "y", TEST, "not one score per class"),
        ("x", "y * 3", TEST, "beyond"),
    ],
)
def test_what_does_not_pair_one_to_one_is_not_counted(observe, output, labels, test, reason) -> None:
    run, _ = observe
    evaluation = run(output, labels, test)
    assert evaluation.confusion is None
    assert evaluation.num_examples == 50
    assert reason in evaluation.warnings[0]


def test_an_accuracy_that_the_counts_contradict_is_said(observe) -> None:
    run, counts = observe
    evaluation = run("torch.cat([-x, x], 1)", test=TEST + "\nnbfed_test_result = (0.5, 0.99)")
    assert evaluation.confusion == counts
    assert "0.99" in evaluation.warnings[0]
    assert evaluation.metrics["accuracy"] == 0.99


def test_an_accuracy_in_percent_with_two_decimals_is_no_contradiction(observe) -> None:
    run, counts = observe
    percent = round(100 * (counts[0][0] + counts[1][1]) / 50, 2)
    assert run("torch.cat([-x, x], 1)", test=TEST + f"\nnbfed_test_result = (0.5, {percent})").warnings == ()
