"""What crosses the link: tasks in, outputs or failures out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .model import Arrays, ArraySpec, Scalar
from .plain import plain, rebuilt
from .policy import Receipt

TaskKind = Literal["describe", "initialise", "canary", "train", "evaluate", "stop"]


@dataclass(frozen=True, slots=True)
class RoundInput:
    """One task for one site.

    Attributes:
        task_id: unique in the run; the reply carries it back.
        round: 1-based round; 0 for ``describe`` and ``initialise``.
        arrays: the model to train or evaluate; None where the task needs none.
        config: ``epochs`` (int), ``seed`` (int), ``evaluate`` (bool: with ``train``, evaluate the
            incoming arrays first, so that one download serves both), ``proximal_mu`` (float),
            ``set:NAME`` (the server's value of the notebook's parameter NAME).
        ledger: how far the federation's ledger goes now, ``12:sha256:...``: its entries, and the hash of
            the last. The site keeps it with its receipt; empty where there is no such ledger.
    """

    task_id: str
    kind: TaskKind
    round: int = 0
    arrays: Arrays | None = None
    config: Mapping[str, Scalar] = field(default_factory=dict)
    ledger: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model did on one site's test set.

    Attributes:
        num_examples: samples evaluated.
        metrics: declared scalars, such as ``loss`` and ``accuracy``; undefined ones are absent.
        confusion: K×K counts, ``confusion[true][predicted]``; None where it could not be observed.
        labels: the K class labels, in the order of ``confusion``.
        warnings: plain sentences, such as why no confusion could be observed; never a data value.
    """

    num_examples: int
    metrics: Mapping[str, float]
    confusion: tuple[tuple[int, ...], ...] | None = None
    labels: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteCard:
    """Counts that a site shows before round 1; never a value or a file name.

    Attributes:
        samples: samples per split (``train``, ``validation``, ``test``).
        classes: per split, samples per class label; a split whose labels cannot be counted is absent.
        unreadable: samples per split that raised when read.
        arrays: the model's arrays, in order.
        warnings: plain sentences, such as "train holds one class only".
        unfit: how the data misses the federation's data contract, in plain sentences; empty where it fits.
    """

    samples: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    unreadable: Mapping[str, int]
    arrays: tuple[ArraySpec, ...]
    warnings: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoundOutput:
    """What a site sends back for one task; exactly what the release policy has passed.

    Attributes:
        task_id, kind, round: those of the :class:`RoundInput`.
        num_examples: training samples used; the weight of this update.
        metrics: training scalars.
        evaluation: of the incoming arrays on the test set, where asked.
        validation: the same on the validation set, where the slice has one: the best round is chosen by it.
        arrays: the trained (or initial) model; for ``canary`` the very arrays that came, as a measure
            of the way back: what a few batches give is fit for nobody.
        card: the answer to ``describe``.
        seconds: by activity: ``prepare``, ``train``, ``evaluate``; the answer to ``canary`` says with
            ``round`` how long a whole round will take here.
        receipts: the site's signed entries about this task: what came in, what left.
    """

    task_id: str
    kind: TaskKind
    round: int
    num_examples: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    validation: Evaluation | None = None
    arrays: Arrays | None = None
    card: SiteCard | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    receipts: tuple[Receipt, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteFailure:
    """Why a site could not do a task, without any data value.

    Attributes:
        code: the :class:`~nbfed_site.contracts.NbfedError` code.
        what: a sentence; holds the exception's own message only if the site's policy allows it.
        where: ``notebook cell 7, line 3``, or empty.
        source: the source line of that cell, or empty.
        exception: class name of the exception.
        hint: what to do next.
    """

    code: str
    what: str
    where: str = ""
    source: str = ""
    exception: str = ""
    hint: str = ""


def output_header(output: RoundOutput) -> dict[str, Any]:
    """All of ``output`` but its arrays, as plain JSON values."""
    header: dict[str, Any] = plain(replace(output, arrays=None))
    del header["arrays"]
    return header


def output_from_header(header: Mapping[str, Any], arrays: Arrays | None) -> RoundOutput:
    """Rebuild an output from :func:`output_header`'s value and its arrays.

    Raises:
        TypeError: not such a header.
    """
    return replace(rebuilt(RoundOutput, header), arrays=arrays)
