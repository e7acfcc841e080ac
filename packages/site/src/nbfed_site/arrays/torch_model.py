"""A torch.nn.Module as named NumPy arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ..contracts import Array, Arrays, ArraySpec, SiteCodeFailed
from .adapter import require_match


class TorchModel:
    """A torch model: names and order of its ``state_dict``, buffers included.

    dtypes that NumPy lacks (bfloat16, float8) cross as float32, which holds them exactly. Tensors
    that share memory keep all their names, and stay shared.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        if lazy := [name for name, value in model.named_parameters() if torch.nn.parameter.is_lazy(value)]:
            raise SiteCodeFailed(
                f"The model's {lazy[0]!r} has no size before its first batch.",
                hint="Give the layer its input size, for example Linear(128, 2) for LazyLinear(2).",
            )
        self._model = model
        self._modes = [(module, module.training) for module in model.modules()]
        self._trainable = [(value, value.requires_grad) for value in model.parameters()]

    def specs(self) -> tuple[ArraySpec, ...]:
        """Name, shape and dtype of each array, in ``state_dict`` order."""
        tensors = self._tensors().items()
        return tuple(ArraySpec(name, tuple(value.shape), _numpy_dtype(value)) for name, value in tensors)

    def read(self) -> dict[str, Array]:
        """The arrays; those of CPU tensors share the model's memory."""
        return {name: _numpy(value) for name, value in self._tensors().items()}

    def load(self, arrays: Arrays) -> None:
        """Copy ``arrays`` into the model in place, device and dtype of each tensor kept."""
        given = {name: arrays[name] for name in arrays}
        require_match(self.specs(), given)
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(_tensor(given[name]))

    def rewind(self) -> None:
        """Set training mode and ``requires_grad`` back, and drop gradients."""
        for module, training in self._modes:
            module.training = training
        for value, requires_grad in self._trainable:
            value.grad = None
            value.requires_grad_(requires_grad)

    @contextmanager
    def watch(self, on_output: Callable[[NDArray[np.float64] | None, Any], None]) -> Iterator[None]:
        """Report the outcome and first argument of every call of the model (not of ``model.forward``)."""
        handle = self._model.register_forward_hook(
            lambda _module, args, output: on_output(_scores(output), next(iter(args), None))
        )
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def proximal(self, arrays: Arrays, mu: float) -> Iterator[None]:
        """FedProx (Li et al. 2020, arXiv:1812.06127, eq. 2): the gradient of mu/2 * ||w - w_global||^2."""
        named = self._model.named_parameters()
        targets = {id(value): _tensor(arrays[name]).to(value) for name, value in named if name in arrays}

        def pull(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            if len(args) > 1 or kwargs:
                raise SiteCodeFailed(
                    "FedProx cannot correct an optimizer step that takes a closure.",
                    hint="Call backward() and then optimizer.step() in the training loop, or use FedAvg.",
                )
            values = [value for group in optimizer.param_groups for value in group["params"]]
            with torch.no_grad():
                for value in values:
                    if value.grad is not None and id(value) in targets:
                        value.grad.add_(value, alpha=mu).sub_(targets[id(value)], alpha=mu)

        handle = register_optimizer_step_pre_hook(pull)
        try:
            yield
        finally:
            handle.remove()

    def _tensors(self) -> dict[str, torch.Tensor]:
        state = self._model.state_dict()
        for name, value in state.items():
            if not isinstance(value, torch.Tensor):
                raise SiteCodeFailed(
                    f"The model keeps {name!r} as {type(value).__name__}, not as a tensor.",
                    hint="Keep state in parameters and registered buffers.",
                )
        return dict(state)


def _numpy_dtype(tensor: torch.Tensor) -> str:
    name = str(tensor.dtype).removeprefix("torch.")
    return "float32" if name.startswith(("bfloat", "float8")) else name


def _numpy(tensor: torch.Tensor) -> Array:
    if _numpy_dtype(tensor) != str(tensor.dtype).removeprefix("torch."):
        tensor = tensor.float()
    array: Array = tensor.detach().cpu().numpy()
    return array


def _tensor(array: Array) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array))


def _scores(output: Any) -> NDArray[np.float64] | None:
    """What a model gave for a batch, as [B, K]; None where it is no such thing."""
    if hasattr(output, "logits"):
        output = output.logits
    elif isinstance(output, dict):
        output = output.get("logits", next(iter(output.values()), None))
    elif isinstance(output, list | tuple):
        output = next((item for item in output if isinstance(item, torch.Tensor)), None)
    if not isinstance(output, torch.Tensor) or output.ndim == 0 or output.ndim > 2:
        return None
    scores: NDArray[np.float64] = output.detach().double().cpu().numpy()
    return scores.reshape(len(scores), -1)
