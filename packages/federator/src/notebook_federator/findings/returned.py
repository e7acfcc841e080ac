"""What a function visibly returns: a number, a list, a tensor, a mapping, or what cannot be told."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from .facts import dotted

Kind = Literal["number", "list", "tensor", "mapping", "text", "nothing", "unknown"]

_REDUCTIONS = {"mean", "average", "sum", "std", "median", "nanmean"}
_SAME = {
    "cpu",
    "detach",
    "numpy",
    "to",
    "float",
    "double",
    "long",
    "int",
    "clone",
    "squeeze",
    "view",
    "reshape",
}
_CALLED: dict[Kind, str] = {
    "number": "len int float sum round abs min max bool item fsum",
    "list": "list sorted tuple set",
    "tensor": "cat stack concatenate vstack hstack softmax log_softmax sigmoid argmax confusion_matrix "
    "predict predict_proba",
    "mapping": "dict",
    "text": "str format classification_report",
}
_NAMED: dict[str, Kind] = {name: kind for kind, names in _CALLED.items() for name in names.split()}
_LITERALS: dict[type[ast.AST], Kind] = {
    ast.JoinedStr: "text",
    ast.List: "list",
    ast.ListComp: "list",
    ast.Set: "list",
    ast.GeneratorExp: "list",
    ast.Dict: "mapping",
    ast.DictComp: "mapping",
}
_WRAPPERS = {"array", "asarray", "tensor", "as_tensor", "from_numpy", "Tensor"}


@dataclass(slots=True)
class Locals:
    """The last assignment of each local name, in the order of the source."""

    network: str
    kinds: dict[str, Kind] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)

    def assign(self, target: ast.expr, value: ast.expr | None) -> None:
        """Take ``target = value`` into account; None for a value that cannot be told."""
        if isinstance(target, ast.Name):
            self.kinds[target.id] = kind(value, self) if value is not None else "unknown"
            self.values.pop(target.id, None)
            if value is not None:
                self.values[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            parts: list[ast.expr | None] = [None] * len(target.elts)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(parts):
                parts = list(value.elts)
            for element, part in zip(target.elts, parts, strict=True):
                self.assign(element, part)

    def value(self, node: ast.expr) -> ast.expr:
        """What a name was last assigned, if visible; else ``node`` itself."""
        return self.values.get(node.id, node) if isinstance(node, ast.Name) else node


def read_locals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Locals:
    """Follow the assignments in ``function`` from top to bottom, whatever the branch."""
    arguments = function.args.posonlyargs + function.args.args
    found = Locals(arguments[0].arg if arguments else "")
    for node in own_nodes(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                found.assign(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            found.assign(node.target, node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            found.assign(node.target, None)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            _augment(found, node.target.id, node.value)
    return found


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function in source order, without those of functions and classes inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def _augment(found: Locals, name: str, value: ast.expr) -> None:
    before, added = found.kinds.get(name, "unknown"), kind(value, found)
    if before == "number":
        found.kinds[name] = "number" if added == "number" else "unknown"


def kind(node: ast.expr, known: Locals) -> Kind:
    """What ``node`` visibly is; ``unknown`` whenever in doubt."""
    result: Kind = _LITERALS.get(type(node), "unknown")
    match node:
        case ast.Constant(value=value):
            result = "nothing" if value is None else "number" if isinstance(value, int | float) else "text"
        case ast.Name(id=name):
            result = known.kinds.get(name, "unknown")
        case ast.UnaryOp(operand=operand) | ast.Await(value=operand):
            result = kind(operand, known)
        case ast.BinOp(left=left, right=right) | ast.Compare(left=left, comparators=[right]):
            result = _combined(kind(left, known), kind(right, known), isinstance(node, ast.BinOp))
        case ast.IfExp(body=body, orelse=orelse) if kind(body, known) == kind(orelse, known):
            result = kind(body, known)
        case ast.Call():
            result = _call(node, known)
    return result


def _combined(left: Kind, right: Kind, arithmetic: bool) -> Kind:
    if "tensor" in (left, right):
        return "tensor"
    if arithmetic and "list" in (left, right):
        return "list"
    return "number" if left == right == "number" else "unknown"


def _call(node: ast.Call, known: Locals) -> Kind:
    function = node.func
    if dotted(function) == known.network:
        return "tensor"
    if isinstance(function, ast.Attribute) and function.attr in _REDUCTIONS:
        return _reduced(node, kind(function.value, known))
    if isinstance(function, ast.Attribute) and function.attr in (*_SAME, "tolist"):
        base = kind(function.value, known)
        return "list" if function.attr == "tolist" and base != "number" else base
    return _named(node, function.attr if isinstance(function, ast.Attribute) else dotted(function), known)


def _named(node: ast.Call, name: str, known: Locals) -> Kind:
    """What a function of a well-known name returns."""
    if name in _WRAPPERS:
        first = kind(node.args[0], known) if node.args else "unknown"
        return "tensor" if first == "list" else "number" if first == "number" else "unknown"
    if name.endswith("_score"):
        return "unknown" if _undivided(node) else "number"
    if name == "argmax" and not _along(node) and not node.args:
        return "number"
    return _NAMED.get(name, "unknown")


def _reduced(node: ast.Call, base: Kind) -> Kind:
    """``x.mean()`` and ``np.mean(x)`` are numbers, unless they go along one axis only."""
    axis = len(node.args) > 1 or _along(node) or (base != "unknown" and bool(node.args))
    return "unknown" if axis else "number"


def _along(node: ast.Call) -> bool:
    return any(word.arg in ("dim", "axis") for word in node.keywords)


def _undivided(node: ast.Call) -> bool:
    """``average=None``: one score for each class."""
    return any(
        word.arg == "average" and isinstance(word.value, ast.Constant) and word.value.value is None
        for word in node.keywords
    )
