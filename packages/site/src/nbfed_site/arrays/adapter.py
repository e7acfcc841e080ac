"""The port between a program and the framework of its model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from ..contracts import Array, Arrays, ArraySpec, SiteCodeFailed, TaskRefused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ModelAdapter(Protocol):
    """One model object of one framework. Arrays are named and ordered as the framework does."""

    def specs(self) -> tuple[ArraySpec, ...]:
        """Name, shape and dtype of each array."""

    def read(self) -> dict[str, Array]:
        """The model's arrays; views of the model's own memory where the framework allows it."""

    def load(self, arrays: Arrays) -> None:
        """Copy ``arrays`` into the model in place.

        Raises:
            TaskRefused: names, shapes or dtypes are not the model's.
        """

    def rewind(self) -> None:
        """Set what is not an array (mode, gradients) back to how it was when adapted."""

    def watch(
        self, on_output: Callable[[NDArray[np.float64] | None, Any], None]
    ) -> AbstractContextManager[None]:
        """Call ``on_output`` with what each call of the model gave ([B, K], or None if not such) and got."""

    def proximal(self, arrays: Arrays, mu: float) -> AbstractContextManager[None]:
        """Pull training towards ``arrays``: adds ``mu * (w - arrays)`` to each gradient."""


def adapt(model: Any) -> ModelAdapter:
    """The adapter for what ``model`` is.

    Raises:
        SiteCodeFailed: no adapter knows such an object.
    """
    kinds = {base.__module__ + "." + base.__qualname__ for base in type(model).__mro__}
    if "torch.nn.modules.module.Module" in kinds:
        from .torch_model import TorchModel

        return TorchModel(model)
    kind = type(model)
    raise SiteCodeFailed(
        f"The model block made a {kind.__module__}.{kind.__qualname__}, which cannot be federated.",
        hint="The model must be a torch.nn.Module.",
    )


def require_match(specs: Sequence[ArraySpec], arrays: Arrays) -> None:
    """Check that ``arrays`` has exactly the names, shapes and dtypes of ``specs``.

    Raises:
        TaskRefused: it has not; names the first difference.
    """
    wanted = {spec.name: f"{spec.dtype}{list(spec.shape)}" for spec in specs}
    found = {name: f"{array.dtype.name}{list(array.shape)}" for name, array in arrays.items()}
    for name in wanted | found:
        if wanted.get(name) != found.get(name):
            sent, own = found.get(name, "nothing"), wanted.get(name, "nothing")
            raise TaskRefused(
                f"The model that the server sent has {name!r} as {sent}, not {own}.",
                hint="Server and site must run images built from the same notebook.",
            )
