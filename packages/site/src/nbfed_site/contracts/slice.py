"""The slice: which part of ``slice.py`` plays which role, and where each line came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .model import Scalar

Phase = Literal["setup", "data", "model", "train", "test"]
PHASES: tuple[Phase, ...] = ("setup", "data", "model", "train", "test")
Meaning = Literal["epochs", "data_path", "other"]


@dataclass(frozen=True, slots=True)
class Section:
    """Lines ``first_line`` to ``last_line`` (1-based, inclusive) of ``slice.py`` run in one phase."""

    phase: Phase
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class LineSpan:
    """``count`` lines of the slice from ``slice_line`` are lines of ``cell`` from ``cell_line``.

    All numbers are 1-based; ``cell`` counts every cell of the notebook, of any kind.
    """

    slice_line: int
    cell: int
    cell_line: int
    count: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """A top-level name that the federation sets before the section that first reads it runs."""

    name: str
    meaning: Meaning
    default: Scalar | None


@dataclass(frozen=True, slots=True)
class Names:
    """Names in the slice's namespace that the site program needs; None where there is none.

    ``test_result`` holds what ``test`` returned: ``(loss, accuracy)``, or a mapping of scalars.
    ``metrics`` are top-level scalars that the test cells assign (the cell form).
    """

    model: str
    train_loader: str | None = None
    validation_loader: str | None = None
    test_loader: str | None = None
    num_examples: str | None = None
    test_result: str | None = None
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a site needs to know about a slice, written next to it as ``manifest.json``.

    ``modules`` maps the file name of each local helper module carried along to its digest;
    ``strategy`` is the translated aggregation block: ``{"name": "fedavg", ...}``.
    """

    notebook: str
    notebook_digest: str
    slice_digest: str
    form: Literal["function", "cell", "mixed"]
    framework: str
    sections: tuple[Section, ...]
    spans: tuple[LineSpan, ...]
    names: Names
    parameters: tuple[Parameter, ...] = ()
    requirements: tuple[str, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    strategy: Mapping[str, Scalar] = field(default_factory=dict)
    rounds: int | None = None
    schema_version: Literal[1] = 1

    def locate(self, line: int) -> tuple[int, int] | None:
        """The notebook cell and line that slice line ``line`` came from, or None if generated."""
        for span in self.spans:
            if span.slice_line <= line < span.slice_line + span.count:
                return span.cell, span.cell_line + line - span.slice_line
        return None
