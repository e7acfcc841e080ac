"""Which names single syntax nodes bind, and which names a body surely binds."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
ComprehensionNode = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def bound_name(alias: ast.alias) -> str:
    """The name that an import binds; ``import a.b`` binds ``a``."""
    return alias.asname or alias.name.split(".")[0]


def target_names(target: ast.expr) -> set[str]:
    """Names bound by an assignment target."""
    return {n.id for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def binds(node: ast.AST) -> list[str]:
    """Names that ``node`` itself, not its children, binds in the scope it stands in."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [bound_name(alias) for alias in aliases]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.MatchMapping(rest=str(name)):
            return [name]
    return []


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes in ``body`` that stand in its own scope; of nested scopes only their heads."""
    for node in body:
        yield node
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield from own_nodes(node.decorator_list)
            case ast.Lambda():
                pass
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                walrus = (n for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
                yield from (n.target for n in walrus)
            case _:
                yield from own_nodes(ast.iter_child_nodes(node))


def parameters(node: FunctionNode) -> list[str]:
    """All parameter names of a function, positional ones first."""
    args = node.args
    extra = [arg for arg in (args.vararg, args.kwarg) if arg]
    return [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, *extra)]


def body_of(node: FunctionNode) -> list[ast.AST]:
    """The nodes that run when the function is called."""
    return [node.body] if isinstance(node, ast.Lambda) else list(node.body)


def locals_of(node: FunctionNode) -> tuple[set[str], set[str], set[str]]:
    """Local names of a function, then its ``global`` names, then its ``nonlocal`` names."""
    bound, module, outer = set(parameters(node)), set[str](), set[str]()
    for child in own_nodes(body_of(node)):
        bound.update(binds(child))
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Del):
            bound.add(child.id)
        if isinstance(child, ast.Global):
            module.update(child.names)
        if isinstance(child, ast.Nonlocal):
            outer.update(child.names)
    return bound - module - outer, module, outer


def certain_names(body: Iterable[ast.stmt]) -> set[str]:
    """Names that running ``body`` surely binds, on every path that does not raise."""
    return {name for node in body for name in _certain(node)}


def _certain(node: ast.stmt) -> set[str]:
    names: set[str] = set()
    match node:
        case ast.If():
            names = certain_names(node.body) & certain_names(node.orelse)
        case ast.Try():
            handled = [certain_names(h.body) for h in node.handlers if not _leaves(h.body)]
            done = certain_names([*node.body, *node.orelse])
            names = done.intersection(*handled) | certain_names(node.finalbody)
        case ast.With() | ast.AsyncWith():
            bound = (item.optional_vars for item in node.items if item.optional_vars)
            names = {name for target in bound for name in target_names(target)} | certain_names(node.body)
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            names = set(binds(node)) - {"*"}
        case ast.Assign():
            names = {name for target in node.targets for name in target_names(target)}
        case ast.AnnAssign() | ast.AugAssign():
            names = target_names(node.target) if node.value else set()
    return names


def _leaves(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise)
