"""Training and testing without loaders: the arrays that cells feed to the model by hand.

``for i in range(0, len(X), 32): xb = X[i : i + 32]`` leaves no object that a site could count or share
out. The names behind what the model is given are followed back to the data cells, and the slice makes
``nbfed_train = X, y`` of them, which the later cells take up again under their own names.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

TRAIN_ARRAYS, TEST_ARRAYS = "nbfed_train", "nbfed_test"

_MOST = 3  # arrays: two inputs and labels
_OUTPUT = "<output>"  # stands for what the model gave
_METHODS = {"forward", "fit", "predict", "predict_proba", "evaluate", "score"}
_COUNTS = {"len", "range"}  # what these give is no sample


@dataclass(frozen=True, slots=True)
class _Feed:
    """Where the values in some cells come from.

    Attributes:
        models: names of the model, those of parameters that it is given to included.
        held: names of the data cells.
        bound: what the cells, and the functions that they call, give each of their own names.
    """

    models: Collection[str]
    held: Collection[str]
    bound: Mapping[str, Sequence[ast.expr]]

    def roots(self, *expressions: ast.expr) -> list[str]:
        """Names of the data cells that ``expressions`` are made of; ``<output>`` if the model was called."""
        found: dict[str, None] = {}
        seen: set[str] = set()
        waiting = self._all(expressions)
        while waiting:
            name = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            inner = self._all(self.bound.get(name, ()))
            if name == _OUTPUT or (name in self.held and (name in inner or name not in self.bound)):
                found[name] = None
            waiting += inner
        return list(found)

    def _all(self, nodes: Iterable[ast.AST]) -> list[str]:
        return [name for node in nodes for name in self._names(node)]

    def _names(self, node: ast.AST) -> list[str]:
        """Names that hold what ``node`` gives, or more than that: ``X`` of ``torch.tensor(X[i])``."""
        match node:
            case ast.Name(id=name):
                return [name] if name in self.held or name in self.bound else []
            case ast.Call(func=ast.Name(id=name)) if name in _COUNTS:
                return []
            case ast.Call(func=func):
                given = self._all((*node.args, *(word.value for word in node.keywords)))
                if self.is_model_called(node):
                    return [_OUTPUT, *given]
                return (self._names(func.value) if isinstance(func, ast.Attribute) else []) or given
            case ast.Subscript(value=value) | ast.Attribute(value=value):
                return self._names(value)
        return self._all(ast.iter_child_nodes(node))

    def is_model_called(self, node: ast.Call) -> bool:
        match node.func:
            case ast.Name(id=name):
                return name in self.models
            case ast.Attribute(value=ast.Name(id=name), attr=method):
                return name in self.models and method in _METHODS
        return False


def fed_arrays(
    statements: Sequence[ast.stmt],
    functions: Mapping[str, ast.FunctionDef],
    model: str,
    held: Collection[str],
    meant: Callable[[str], bool],
) -> tuple[str, ...]:
    """Names in ``held`` whose rows ``statements`` give to the model, inputs before labels.

    The first call of the model counts whose inputs are ``meant``, else the first with any. Empty where no
    such names, or too many, can be told. ``functions`` are the notebook's own. Nothing is run.
    """
    reached = _reached(statements, functions)
    bound = _bindings(reached, functions)
    aliases = {name for name, given in bound.items() if any(_is_name(one, model) for one in given)}
    feed = _Feed({model, *aliases}, held, bound)
    nodes = [node for statement in reached for node in sorted(_expressions(statement), key=_position)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and feed.is_model_called(node)]
    found = [roots for call in calls if (roots := [n for n in feed.roots(*call.args) if n != _OUTPUT])]
    inputs = next((roots for roots in found if all(map(meant, roots))), next(iter(found), []))
    names = (*inputs, *_labels(feed, nodes, inputs))
    return names if inputs and len(names) <= _MOST else ()


def _labels(feed: _Feed, nodes: Iterable[ast.expr], inputs: Sequence[str]) -> list[str]:
    """What the model's output for ``inputs`` is first compared with, as in ``criterion(output, y)``."""
    for node in nodes:
        match node:
            case ast.Call(args=given, keywords=words):
                parts = [*given, *(word.value for word in words)]
            case ast.BinOp(left=left, right=right) | ast.Compare(left=left, comparators=[right]):
                parts = [left, right]
            case _:
                continue
        roots = [feed.roots(part) for part in parts]
        others = [name for found in roots if _OUTPUT not in found for name in found]
        if others and any({_OUTPUT, *inputs} <= set(found) for found in roots):
            return [name for name in others[:1] if name not in inputs]
    return []


def _reached(statements: Sequence[ast.stmt], functions: Mapping[str, ast.FunctionDef]) -> list[ast.stmt]:
    """The statements, and the notebook's functions that they call, directly or not."""
    found: list[ast.stmt] = list(statements)
    for statement in found:  # grows
        for call in ast.walk(statement):
            called = _called(call, functions)
            if called is not None and called not in found:
                found.append(called)
    return found


def _called(node: ast.AST, functions: Mapping[str, ast.FunctionDef]) -> ast.FunctionDef | None:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return functions.get(name)
    return None


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    return (node for node in ast.walk(statement) if isinstance(node, ast.expr))


def _position(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _bindings(
    statements: Iterable[ast.stmt], functions: Mapping[str, ast.FunctionDef]
) -> dict[str, list[ast.expr]]:
    """By name, the expressions that ``statements``, their loops, and calls of ``functions`` bind it to."""
    found: dict[str, list[ast.expr]] = {}
    for node in (node for statement in statements for node in ast.walk(statement)):
        for name, given in _bound(node, _called(node, functions)):
            found.setdefault(name, []).append(given)
    return found


def _bound(node: ast.AST, called: ast.FunctionDef | None) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _paired(target, value)
        case (
            ast.AnnAssign(target=target, value=ast.expr() as value)
            | ast.For(target=target, iter=value)
            | ast.comprehension(target=target, iter=value)
        ):
            yield from _paired(target, value)
        case ast.Call(args=given, keywords=words) if called is not None:
            yield from zip((argument.arg for argument in called.args.args), given, strict=False)
            yield from ((word.arg, word.value) for word in words if word.arg)


def _paired(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Each name of ``target`` with what it is given: a part of ``value`` where that shows its parts."""
    if isinstance(target, ast.Name):
        yield target.id, value
    if not isinstance(target, ast.Tuple | ast.List):
        return
    parts = [value] * len(target.elts)
    match value:
        case ast.Call(func=ast.Name(id="enumerate"), args=[iterated, *_]) if len(parts) == 2:
            parts = [ast.Constant(0), iterated]
        case ast.Tuple(elts=own) | ast.Call(func=ast.Name(id="zip"), args=own) if len(own) == len(parts):
            parts = own
    for one, part in zip(target.elts, parts, strict=True):
        yield from _paired(one, part)
