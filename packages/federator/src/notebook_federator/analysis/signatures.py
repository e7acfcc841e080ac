"""Parameters and returned values of block functions, read from the syntax tree."""

from __future__ import annotations

import ast
import re

from .binding import own_nodes
from .parsing import call_name
from .shapes import Param, Signature, Statement

_EMPTY = re.compile(r"^(pass|\.\.\.|None|raise NotImplementedError\b.*|)$")
_START, _END = re.compile(r"#.*START\s+CODE", re.IGNORECASE), re.compile(r"#.*END\s+CODE", re.IGNORECASE)


def signature_of(node: ast.stmt) -> Signature | None:
    """The signature of a function, of a class's ``__init__``, or of an assigned lambda; else None."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return Signature(_params(node.args), _returns(node))
        case ast.ClassDef():
            inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
            return Signature(_params(inits[-1].args)[1:] if inits else ())
        case ast.Assign(value=ast.Lambda() as value):
            return Signature(_params(value.args), (_parts(value.body),))
    return None


def is_template(source: str, node: ast.stmt) -> bool:
    """Whether a definition is unfilled: no code between START and END marks, or no code at all.

    ``source`` is that of its lines.
    """
    lines = source.split("\n")
    for number, line in enumerate(lines):
        if _START.search(line):
            inner = []
            for following in lines[number + 1 :]:
                if _END.search(following):
                    break
                inner.append(following.split("#")[0].strip())
            if all(_EMPTY.match(text) for text in inner):
                return True
    body = getattr(node, "body", [])
    if isinstance(node, ast.ClassDef) and not all(_is_framework_base(base) for base in node.bases):
        return False
    return isinstance(body, list) and bool(body) and all(_says_nothing(statement) for statement in body)


def _is_framework_base(node: ast.expr) -> bool:
    """Whether a class gets nothing but a framework's machinery from this base."""
    return ast.unparse(node).split(".")[-1] in ("Module", "LightningModule", "Model", "object")


def _says_nothing(node: ast.stmt) -> bool:
    match node:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Raise(exc=ast.Name(id="NotImplementedError")):
            return True
        case ast.Raise(exc=ast.Call() as call):
            return call_name(call) == "NotImplementedError"
    return False


def is_callable_definition(statement: Statement, name: str) -> bool:
    """Whether ``statement`` makes ``name`` a function or class: def, class, lambda, partial or an alias."""
    match statement.node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return statement.node.name == name
        case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
            partial = call_name(value).split(".")[-1] == "partial"
            return partial or isinstance(value, ast.Lambda | ast.Name)
    return False


def _params(args: ast.arguments) -> tuple[Param, ...]:
    positional = [*args.posonlyargs, *args.args]
    plain = len(positional) - len(args.defaults)
    params = [Param(arg.arg, "positional", i >= plain) for i, arg in enumerate(positional)]
    if args.vararg:
        params.append(Param(args.vararg.arg, "args", True))
    pairs = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    params += [Param(arg.arg, "keyword", default is not None) for arg, default in pairs]
    if args.kwarg:
        params.append(Param(args.kwarg.arg, "kwargs", True))
    return tuple(params)


def _returns(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[tuple[str, ...], ...]:
    found = [n for n in own_nodes(node.body) if isinstance(n, ast.Return) and n.value is not None]
    return tuple(_parts(n.value) for n in found if n.value is not None)


def _parts(value: ast.expr) -> tuple[str, ...]:
    if isinstance(value, ast.Tuple):
        return tuple(ast.unparse(element) for element in value.elts)
    return (ast.unparse(value),)
