"""What may leave a site: exactly what is declared, or nothing. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .contracts import (
    Array,
    Arrays,
    ArraySpec,
    Evaluation,
    ReleasePolicy,
    ReleaseRefused,
    RoundOutput,
    TaskKind,
)

_PARTS: Mapping[TaskKind, frozenset[str]] = {
    "describe": frozenset({"card"}),
    "initialise": frozenset({"arrays"}),
    "canary": frozenset({"arrays"}),
    "train": frozenset({"arrays", "evaluation", "validation"}),
    "evaluate": frozenset({"evaluation", "validation"}),
}
_CHUNK = 1 << 18


def release(output: RoundOutput, specs: Sequence[ArraySpec], policy: ReleasePolicy) -> RoundOutput:
    """``output`` as it may leave: metrics as plain finite floats (undefined ones dropped), all else equal.

    Raises:
        ReleaseRefused: a part, array or metric is not what ``specs`` and ``policy`` allow; names it.
    """
    allowed = _PARTS.get(output.kind, frozenset())
    present = {
        part for part in ("arrays", "evaluation", "validation", "card") if getattr(output, part) is not None
    }
    if extra := sorted(present - allowed):
        raise ReleaseRefused(f"The answer to a {output.kind} task may not hold {extra[0]}.")
    if output.arrays is not None:
        _check_arrays(output.arrays, specs, policy)
    if output.kind == "train":
        _check_examples("update", output.num_examples, policy)
    return replace(
        output,
        metrics=_metrics(output.metrics, policy),
        evaluation=output.evaluation and _evaluation(output.evaluation, policy),
        validation=output.validation and _evaluation(output.validation, policy),
    )


def _check_arrays(arrays: Arrays, specs: Sequence[ArraySpec], policy: ReleasePolicy) -> None:
    wanted = [spec.name for spec in specs]
    if list(arrays) != wanted:
        odd = next(iter(set(arrays) ^ set(wanted)), "in another order")
        raise ReleaseRefused(
            f"The update's arrays are not the model's: {odd!r}.", hint="Do not change the model."
        )
    size = 0
    for spec in specs:
        array = arrays[spec.name]  # asked for once: it may be read from disk
        size += array.nbytes
        if array.shape != spec.shape or array.dtype.name != spec.dtype:
            found, allowed = f"{array.dtype.name}{list(array.shape)}", f"{spec.dtype}{list(spec.shape)}"
            raise ReleaseRefused(f"Array {spec.name!r} is {found}; only {allowed} may leave.")
        if not _finite(array):
            hint = "Training diverged: try a smaller learning rate."
            raise ReleaseRefused(f"Array {spec.name!r} holds NaN or infinite values.", hint=hint)
    if policy.max_bytes is not None and size > policy.max_bytes:
        raise ReleaseRefused(f"The update has {size} bytes; at most {policy.max_bytes} may leave.")


def _finite(array: Array) -> bool:
    """Whether all values are finite, a chunk at a time: no temporary of the array's size."""
    import numpy as np

    if array.dtype.kind not in "fc":
        return True
    flat = array.reshape(-1, order="A")
    return all(bool(np.isfinite(flat[k : k + _CHUNK]).all()) for k in range(0, flat.size, _CHUNK))


def _check_examples(what: str, number: int, policy: ReleasePolicy) -> None:
    if number < policy.min_examples:
        hint = "The site's policy sets how few may be told apart."
        raise ReleaseRefused(
            f"The {what} rests on {number} samples; at least {policy.min_examples} are needed.", hint=hint
        )


def _evaluation(evaluation: Evaluation, policy: ReleasePolicy) -> Evaluation:
    _check_examples("evaluation", evaluation.num_examples, policy)
    if (rows := evaluation.confusion) is not None:
        square = all(len(row) == len(rows) == len(evaluation.labels) for row in rows)
        counts = [count for row in rows for count in row]
        whole = all(type(count) is int and count >= 0 for count in counts)
        if not square or not whole or sum(counts) != evaluation.num_examples:
            raise ReleaseRefused("The confusion counts are not K rows of K counts that sum to the samples.")
    return replace(evaluation, metrics=_metrics(evaluation.metrics, policy))


def _metrics(metrics: Mapping[str, Any], policy: ReleasePolicy) -> dict[str, float]:
    values = {name: _scalar(name, value, policy) for name, value in metrics.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _scalar(name: str, value: Any, policy: ReleasePolicy) -> float:
    """A Python, NumPy or torch scalar as a float."""
    found = type(value).__name__
    if hasattr(value, "shape"):
        found += str(list(value.shape))
        value = value.item() if len(value.shape) == 0 else None
    hint = "Let test return (loss, accuracy), or a dict of these: " + ", ".join(policy.metrics) + "."
    if not isinstance(value, int | float):
        raise ReleaseRefused(f"Metric {name!r} is a {found}; only single numbers may leave.", hint=hint)
    if name not in policy.metrics:
        raise ReleaseRefused(f"Metric {name!r} is not declared, so it may not leave.", hint=hint)
    return float(value)
