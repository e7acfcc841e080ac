"""The cell form: finds the model, the loaders and the metrics among a notebook's own names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nbfed_site.contracts import NotebookBlocked, Phase

from ..analysis import Analysis, Statement
from ..analysis.effects import dotted
from .arrays import TEST_ARRAYS, TRAIN_ARRAYS, fed_arrays
from .functions import Cast
from .plan import Plan

_MODEL_USES = {
    "parameters", "named_parameters", "state_dict", "load_state_dict", "train", "eval", "zero_grad", "to",
    "cuda", "fit", "predict", "predict_proba", "score", "compile", "evaluate", "partial_fit", "modules",
}  # fmt: skip
_METRIC = re.compile(
    r"(^|_)(loss|acc|accuracy|f1|auc|auroc|precision|recall|sensitivity|specificity|ppv|npv|score|dice|iou|kappa"
    r"|mcc|error|mse|mae|rmse|r2)(_|$)",
    re.IGNORECASE,
)
_LOADER = re.compile(r"loader|iterator|_dl$|^dl_|_iter$|(^|_)ds$|dataset", re.IGNORECASE)
_VALIDATION, _TEST = re.compile(r"val|dev(?!ice)", re.IGNORECASE), re.compile(r"test", re.IGNORECASE)


def find_names(analysis: Analysis, plan: Plan, cast: Cast) -> None:
    """Fill in what no function gave.

    Raises:
        NotebookBlocked: no name in the model's cells is used as a model.
    """
    by_phase: dict[Phase, list[Statement]] = {}
    for index in plan.visible:
        by_phase.setdefault(plan.phases[index], []).append(analysis.statements[index])
    if cast.model is None:
        cast.model = _model(analysis, by_phase)
    _find_loaders(by_phase, cast, cast.model)
    if cast.num_examples is None and any("num_examples" in s.defines for s in by_phase.get("data", ())):
        cast.num_examples = "num_examples"
    if cast.test_result is None:
        cast.metrics = _metrics(by_phase.get("test", ()))


def _find_loaders(by_phase: Mapping[Phase, Sequence[Statement]], cast: Cast, model: str) -> None:
    early = [*by_phase.get("data", ()), *by_phase.get("setup", ())]
    loaders, train, test = _loaders(early), by_phase.get("train", ()), by_phase.get("test", ())
    if cast.train is None:
        cast.train, cast.train_arrays = _fed(TRAIN_ARRAYS, train, by_phase, model)
    if cast.test is None:
        cast.test, cast.test_arrays = _fed(TEST_ARRAYS, test, by_phase, model)
    used = _ordered(train, loaders) or loaders
    if cast.train is None:  # rather none than the weight of another set
        cast.train = next((name for name in used if not _off_training(name)), None)
    if cast.val is None and not cast.test_arrays:  # what stands in for arrays must be arrays
        cast.val = next((name for name in [*used, *loaders] if _VALIDATION.search(name)), None)
    if cast.test is None:
        tested = _ordered(test, loaders) or loaders
        others = [name for name in tested if name != cast.train]
        cast.test = next((n for n in others if _TEST.search(n)), next(iter(others or tested), None))


def _fed(
    made: str, statements: Sequence[Statement], by_phase: Mapping[Phase, Sequence[Statement]], model: str
) -> tuple[str | None, tuple[str, ...]]:
    """What ``statements`` feed the model from where that is none of the known loaders: the name that they
    iterate, or ``made`` with the arrays that it is to be made of."""
    early = [*by_phase.get("data", ()), *by_phase.get("setup", ())]
    held = {name for statement in early for name in _assigned(statement)} - {model}
    every = (statement.node for group in by_phase.values() for statement in group)
    functions = {node.name: node for node in every if isinstance(node, ast.FunctionDef)}
    nodes = [statement.node for statement in statements]
    off = made == TEST_ARRAYS
    names = fed_arrays(nodes, functions, model, held, lambda name: _off_training(name) == off)
    if not names or set(names) & set(_loaders(early)):
        return None, ()
    loops = (n for node in nodes for n in ast.walk(node) if isinstance(n, ast.For | ast.comprehension))
    if len(names) == 1 and any(names[0] in _names(loop.iter) for loop in loops):
        return names[0], ()
    return made, names


def _off_training(name: str) -> bool:
    found = _VALIDATION.search(name) or _TEST.search(name)
    return bool(found) and "train" not in name.lower()


def _model(analysis: Analysis, by_phase: dict[Phase, list[Statement]]) -> str:
    uses = _model_uses(analysis.statements)
    block = analysis.block("model")
    marked = [s for s in by_phase.get("model", ()) if block and s.index in block.statements]
    for group in (marked, by_phase.get("model", ()), by_phase.get("setup", ())):
        names = [name for s in group for name in _assigned(s)]
        best = max(names, key=lambda name: (uses.get(name, 0), names.index(name)), default=None)
        if best is not None and uses.get(best, 0):
            return best
    raise NotebookBlocked(
        "No name in the model's cells is used as a model.",
        where=f"notebook cell {block.cells[0]}" if block else "",
        hint="Assign the model in the marked cell, as `model = Net()`, and use it in the train cell.",
    )


def _model_uses(statements: Iterable[Statement]) -> dict[str, int]:
    """How often each name is called, or has a method called that models have; calls weigh one."""
    uses: dict[str, int] = {}
    for statement in statements:
        for node in ast.walk(statement.node):
            if isinstance(node, ast.Call):
                name = dotted(node.func)
                weight = 3 if len(name) == 2 and name[1] in _MODEL_USES else int(len(name) == 1)
                if weight:
                    uses[name[0]] = uses.get(name[0], 0) + weight
                    continue
            if isinstance(node, ast.Call):
                for arg in node.args:
                    if isinstance(arg, ast.Name):
                        uses[arg.id] = uses.get(arg.id, 0) + 1
    return uses


def _assigned(statement: Statement) -> list[str]:
    if isinstance(
        statement.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
    ):
        return []
    return sorted(statement.defines)


def _loaders(statements: Iterable[Statement]) -> list[str]:
    """Names bound to a ``DataLoader``, or named like one, in order."""
    found: dict[str, None] = {}
    for statement in statements:
        names = _assigned(statement)
        made = any(call.split(".")[-1].endswith(("DataLoader", "Loader")) for call in statement.calls)
        loading = (name for name in names if (made and len(names) == 1) or _LOADER.search(name))
        found.update(dict.fromkeys(loading))
    return list(found)


def _ordered(statements: Sequence[Statement], loaders: Sequence[str]) -> list[str]:
    """Loaders in the order in which ``statements`` use them; those iterated in a loop first."""
    iterated: dict[str, None] = {}
    named: dict[str, None] = {}
    for statement in statements:
        for node in ast.walk(statement.node):
            if isinstance(node, ast.For | ast.comprehension):
                iterated.update(dict.fromkeys(_names(node.iter)))
            if isinstance(node, ast.Name):
                named[node.id] = None
    return [name for name in [*iterated, *(n for n in named if n not in iterated)] if name in loaders]


def _names(iterated: ast.expr) -> Iterator[str]:
    """Names that a loop goes over; ``range(len(X))`` goes over none."""
    counting = isinstance(iterated, ast.Call) and dotted(iterated.func) == ("range",)
    return (n.id for n in ast.walk(iterated) if isinstance(n, ast.Name) and not counting)


def _metrics(statements: Iterable[Statement]) -> tuple[str, ...]:
    """Names like metrics that the test cells assign, in order, not those of loops and imports."""
    found: dict[str, None] = {}
    for statement in statements:
        if isinstance(statement.node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
            continue
        found.update(dict.fromkeys(n for n in sorted(statement.defines) if _METRIC.search(n)))
    return tuple(found)
