"""Proposes roles for cells of a notebook that names or marks none."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..notebook import Notebook, Role
from .parsing import call_name
from .shapes import Block, Place, Statement
from .strategy import STRATEGIES

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_DATA_CALL = re.compile(
    r"^(read_\w+|load_\w+|fetch_\w+|DataLoader|ImageFolder|image_dataset_from_directory|flow_from_\w+|"
    r"train_test_split|random_split|TensorDataset|MNIST|FashionMNIST|CIFAR10|CIFAR100|CacheDataset|loadtxt|"
    r"genfromtxt|from_tensor_slices|loadmat)$"
)
_NOT_DATA = re.compile(r"^load_(state_dict|model|weights|ext|from_checkpoint)$")
_MODEL_CALL = re.compile(
    r"^(Sequential|Model|resnet\w+|vgg\w+|densenet\w+|efficientnet\w+|mobilenet\w+|UNet|create_model|"
    r"\w+Classifier|\w+Regressor|LogisticRegression|LinearRegression|SVC|AutoModel\w*)$"
)
_MODULE_BASE = re.compile(r"(^|\.)(\w*Module|Model|Layer)$")
_TRAIN_METHODS = {"backward", "fit", "partial_fit", "train_on_batch", "fit_generator"}
_TEST_METHODS = {"eval", "predict", "predict_proba", "score", "evaluate"}
_TEST_NAME = re.compile(r"test|eval", re.IGNORECASE)


def suggest(
    notebook: Notebook, statements: Sequence[Statement], blocks: Sequence[Block]
) -> tuple[Block, ...]:
    """One proposed block for each role that ``blocks`` lacks and some unmarked cell seems to play.

    Only code that runs counts, with what the notebook's own functions do in it: a cell that only
    defines functions is carried along by those that call them.
    """
    taken = {number for block in blocks for number in block.cells} | {
        cell.number for cell in notebook.cells if cell.directive
    }
    running = [s for s in statements if s.place.cell not in taken and not isinstance(s.node, _DEFINITIONS)]
    classes = _module_classes(statements)
    functions = _functions(statements)
    found: list[Block] = []
    used: set[int] = set()
    have = {block.role for block in blocks}
    tests: Sequence[tuple[Role, Callable[[Statement], str]]] = (
        ("train", lambda s: _trains(s, functions)),
        ("model", lambda s: _builds(s, classes)),
        ("data", _loads),
        ("test", lambda s: _tests(s, functions)),
        ("aggregate", _aggregates),
    )
    for role, reason_of in tests:
        if role in have:
            continue
        free = [s for s in running if s.place.cell not in used]
        after = min((b.cells[0] for b in found if b.role == "train"), default=0) if role == "test" else 0
        cells = _cells((s for s in free if s.place.cell > after), reason_of, last=role in ("train", "test"))
        if cells:
            found.append(_block(role, cells, running))
            used |= set(cells)
    order: tuple[Role, ...] = ("data", "model", "train", "test", "aggregate")
    return tuple(sorted(found, key=lambda block: order.index(block.role)))


def _cells(
    statements: Iterable[Statement], reason_of: Callable[[Statement], str], *, last: bool
) -> dict[int, str]:
    """Cells that play a role, with the reason; only the ``last`` one where one runs anew what another did."""
    found: dict[int, str] = {}
    for statement in statements:
        reason = reason_of(statement)
        if reason:
            found.setdefault(statement.place.cell, reason)
    if last and found:
        number = max(found)
        return {number: found[number]}
    return found


def _block(role: Role, cells: Mapping[int, str], running: Sequence[Statement]) -> Block:
    numbers = tuple(sorted(cells))
    indices = tuple(s.index for s in running if s.place.cell in numbers)
    reason = "; ".join(f"cell {number} {cells[number]}" for number in numbers)
    return Block(role, "suggestion", numbers, None, Place(numbers[0], 1), indices, reason=reason)


def _calls(node: ast.AST) -> list[tuple[str, ast.Call]]:
    """Last names of what ``node`` calls, outside functions that it defines."""
    return [(call_name(n).split(".")[-1], n) for n in ast.walk(node) if isinstance(n, ast.Call)]


def _functions(statements: Sequence[Statement]) -> dict[str, ast.stmt]:
    return {
        s.node.name: s.node for s in statements if isinstance(s.node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _reached(statement: Statement, functions: Mapping[str, ast.stmt]) -> list[ast.AST]:
    """The statement, and the bodies of the notebook's functions that it calls, directly or not."""
    found: dict[str, ast.AST] = {}
    waiting: list[ast.AST] = [statement.node]
    while waiting:
        for name, _ in _calls(waiting.pop()):
            if name in functions and name not in found:
                found[name] = functions[name]
                waiting.append(functions[name])
    return [statement.node, *found.values()]


def _module_classes(statements: Sequence[Statement]) -> set[str]:
    """Classes of the notebook that derive from a framework's module or model, in any number of steps."""
    found: set[str] = set()
    for statement in statements:
        if isinstance(statement.node, ast.ClassDef):
            bases = [ast.unparse(base) for base in statement.node.bases]
            if any(_MODULE_BASE.search(base) or base in found for base in bases):
                found.add(statement.node.name)
    return found


def _trains(statement: Statement, functions: Mapping[str, ast.stmt]) -> str:
    for node in _reached(statement, functions):
        for name, call in _calls(node):
            receiver = call_name(call).split(".")[0].lower()
            scaling = any(word in receiver for word in ("scal", "encod", "pca", "imput", "vector", "token"))
            if name in _TRAIN_METHODS and "." in call_name(call) and not scaling:
                return f"calls .{name}()"
    return ""


def _builds(statement: Statement, classes: set[str]) -> str:
    if not isinstance(statement.node, ast.Assign | ast.AnnAssign):
        return ""
    for name, call in _calls(statement.node):
        if name in classes or _MODEL_CALL.match(name):
            return f"builds a model with {call_name(call)}()"
    return ""


def _loads(statement: Statement) -> str:
    for name, call in _calls(statement.node):
        if _DATA_CALL.match(name) and not _NOT_DATA.match(name):
            return f"loads data with {call_name(call)}()"
    return ""


def _tests(statement: Statement, functions: Mapping[str, ast.stmt]) -> str:
    if not statement.defines or isinstance(statement.node, ast.Expr):
        return ""
    for node in _reached(statement, functions):
        for name, _ in _calls(node):
            if name in _TEST_METHODS or name in ("no_grad", "inference_mode"):
                return f"uses {name}()"
    return ""


def _aggregates(statement: Statement) -> str:
    return next((f"makes {name}()" for name, _ in _calls(statement.node) if name in STRATEGIES), "")
