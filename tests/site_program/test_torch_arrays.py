"""A torch model as named arrays: names, memory, dtypes and refusals."""

import numpy as np
import pytest
import torch
from nbfed_site.arrays import adapt
from nbfed_site.contracts import SiteCodeFailed, TaskRefused


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(5, 3)
        self.out = torch.nn.Linear(3, 5, bias=False)
        self.out.weight = self.embed.weight
        self.register_buffer("steps", torch.tensor(3))
        self.register_buffer("mask", torch.tensor([True, False]))


def test_names_and_order_are_those_of_the_state_dict() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    assert list(adapt(model).read()) == list(model.state_dict())
    assert [spec.name for spec in adapt(model).specs()] == list(model.state_dict())


def test_reading_copies_nothing_and_loading_keeps_the_parameters() -> None:
    model = torch.nn.Linear(3, 2)
    weight = model.weight
    arrays = adapt(model).read()
    assert np.shares_memory(arrays["weight"], weight.detach().numpy())
    adapt(model).load({"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)})
    assert model.weight is weight
    assert weight.requires_grad
    assert (arrays["weight"] == 1).all()


def test_read_only_and_strided_arrays_load(recwarn) -> None:
    model = torch.nn.Linear(3, 2)
    weight = np.arange(6, dtype=np.float32).reshape(3, 2).T
    bias = np.frombuffer(np.ones(2, np.float32).tobytes(), np.float32)
    adapt(model).load({"weight": weight, "bias": bias})
    assert np.array_equal(model.weight.detach().numpy(), weight)
    assert not recwarn.list


def test_tied_tensors_stay_tied_and_buffers_keep_their_dtype() -> None:
    model = Tied()
    arrays = {name: np.array(value) for name, value in adapt(model).read().items()}
    assert {name: value.dtype.name for name, value in arrays.items()} == {
        "embed.weight": "float32",
        "out.weight": "float32",
        "steps": "int64",
        "mask": "bool",
    }
    arrays["embed.weight"] = arrays["out.weight"] = np.full((5, 3), 2, np.float32)
    arrays["steps"] = np.array(9)
    adapt(model).load(arrays)
    assert model.out.weight is model.embed.weight
    assert (model.embed.weight == 2).all()
    assert model.steps.item() == 9
    assert model.steps.dtype == torch.int64


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (torch.float16, "float16"),
        (torch.bfloat16, "float32"),
        (torch.float64, "float64"),
        (torch.complex64, "complex64"),
        (torch.float8_e4m3fn, "float32"),
    ],
)
def test_values_of_every_dtype_come_back_exactly(dtype, name) -> None:
    model = torch.nn.Module()
    model.register_buffer("values", torch.tensor([1.5, -0.25, 3.0, 0.0]).to(dtype))
    arrays = {key: np.array(value) for key, value in adapt(model).read().items()}
    assert arrays["values"].dtype.name == adapt(model).specs()[0].dtype == name
    before = model.values.clone()
    model.values.zero_()
    adapt(model).load(arrays)
    assert model.values.dtype == dtype
    assert torch.equal(model.values.to(torch.complex64), before.to(torch.complex64))


def test_rewinding_undoes_modes_gradients_and_freezing() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    model[1].eval()
    model[0].bias.requires_grad_(False)
    adapter = adapt(model)
    model.train()
    model[0].bias.requires_grad_(True)
    model(torch.ones(1, 2)).sum().backward()
    adapter.rewind()
    assert [module.training for module in model] == [True, False]
    assert not model[0].bias.requires_grad
    assert model[0].weight.grad is None


def test_what_does_not_fit_is_refused_by_name() -> None:
    adapter = adapt(torch.nn.Linear(2, 1))
    good = {"weight": np.ones((1, 2), np.float32), "bias": np.ones(1, np.float32)}
    for wrong, said in [
        ({**good, "weight": np.ones((1, 2))}, r"float64\[1, 2\], not float32\[1, 2\]"),
        ({**good, "bias": np.ones(2, np.float32)}, "bias"),
        ({"weight": good["weight"]}, "'bias' as nothing"),
        ({**good, "more": good["bias"]}, "'more'"),
    ]:
        with pytest.raises(TaskRefused, match=said):
            adapter.load(wrong)


def test_state_that_is_no_tensor_is_refused() -> None:
    class Extra(torch.nn.Linear):
        def get_extra_state(self) -> str:
            return "x"

        def set_extra_state(self, state: str) -> None:
            pass

    with pytest.raises(SiteCodeFailed, match="_extra_state"):
        adapt(Extra(1, 1)).read()


def test_fedprox_refuses_what_it_cannot_correct() -> None:
    model = torch.nn.Linear(2, 1)
    adapter = adapt(model)
    optimizer = torch.optim.LBFGS(model.parameters())
    arrays = {name: np.array(value) for name, value in adapter.read().items()}
    with adapter.proximal(arrays, 0.1), pytest.raises(SiteCodeFailed, match="closure"):
        optimizer.step(lambda: torch.tensor(0.0))


def test_fedprox_adds_its_gradient_during_training_only() -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    adapter = adapt(model)
    target = {"weight": np.array([[1.0, -1.0]], np.float32)}
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 0.0]]))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model.weight.grad = torch.tensor([[0.5, 0.5]])
    with adapter.proximal(target, 0.1):
        optimizer.step()
    assert torch.allclose(model.weight, torch.tensor([[3 - 0.5 - 0.2, -0.5 - 0.1]]))
    model.weight.grad = torch.tensor([[0.5, 0.5]])
    optimizer.step()
    assert torch.allclose(model.weight, torch.tensor([[1.8, -1.1]]))
