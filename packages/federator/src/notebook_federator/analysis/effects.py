"""What a body of code may change in place: assignments into objects, calls, aliases, functions."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from .binding import FunctionNode, binds, body_of, locals_of, parameters, target_names
from .habits import PASSING, SELF_METHODS

RETURNED = "<returned>"
"""Stands for what a function returns among the aliases of its body."""

_NO_ROOTS = (ast.Lambda, ast.Compare, ast.JoinedStr, ast.Constant, ast.BinOp, ast.UnaryOp)


@dataclass(frozen=True, slots=True)
class Root:
    """A name whose object a value may be or hold, if each of ``guards`` is code of the notebook itself."""

    name: str
    guards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallSite:
    """One call.

    Attributes:
        callee: its dotted name (``("torch", "manual_seed")``), or only the method's name after ``""``.
        receiver: for a method call, what it is called on.
        args: keyword (None for positional) and roots of each argument.
        statement: whether its result is thrown away.
        looped: whether it stands inside a loop.
    """

    callee: tuple[str, ...]
    receiver: frozenset[Root]
    args: tuple[tuple[str | None, frozenset[Root]], ...]
    statement: bool
    looped: bool


@dataclass(slots=True)
class Body:
    """What running some code may do, its functions not being called."""

    mutated: set[str] = field(default_factory=set)
    sites: list[CallSite] = field(default_factory=list)
    aliases: dict[str, set[Root]] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)


@dataclass(slots=True)
class Function:
    """A function, method or lambda at any depth of a statement; ``owner`` is its class."""

    name: str
    owner: str | None
    params: tuple[str, ...]
    local: frozenset[str]
    module: frozenset[str]
    outer: frozenset[str]
    body: Body
    nested: bool


def body(nodes: Iterable[ast.AST]) -> Body:
    """Read ``nodes``, which run in one scope, without running them."""
    scan = _Scan(Body(), None, nested=False)
    scan.all(nodes)
    return scan.body


def dotted(node: ast.expr) -> tuple[str, ...]:
    """``a.b.c`` as its parts; with ``""`` first where it does not start at a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return tuple(reversed(parts))


def roots(node: ast.expr | None) -> frozenset[Root]:
    """Names whose objects the value of ``node`` may be or hold."""
    if node is None or isinstance(node, _NO_ROOTS):
        return frozenset()
    match node:
        case ast.Name():
            return frozenset({Root(node.id)})
        case ast.Call():
            return _call_roots(node)
        case ast.Attribute() | ast.Subscript() | ast.Starred() | ast.Await():
            parts = [node.value]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            parts = [node.elt, *(generator.iter for generator in node.generators)]
        case ast.DictComp():
            parts = [node.value, *(generator.iter for generator in node.generators)]
        case ast.IfExp():
            parts = [node.body, node.orelse]
        case _:
            parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return _union(parts)


def _union(nodes: Iterable[ast.expr]) -> frozenset[Root]:
    return frozenset(root for node in nodes for root in roots(node))


def _call_roots(node: ast.Call) -> frozenset[Root]:
    given = _union([*node.args, *(keyword.value for keyword in node.keywords)])
    if isinstance(node.func, ast.Attribute):
        receiver = roots(node.func.value)
        guarded = frozenset(Root(r.name, (*r.guards, g.name)) for g in receiver for r in given | receiver)
        return guarded | (receiver if node.func.attr in SELF_METHODS else frozenset())
    if isinstance(node.func, ast.Name):
        name = node.func.id
        if name in PASSING:
            return given
        return frozenset(Root(r.name, (*r.guards, name)) for r in given) | {Root(name, (name,))}
    return given | roots(node.func)


def _is_fresh(node: ast.expr) -> bool:
    """Whether ``next`` of it leaves what it stands on alone: ``iter(loader)`` begins anew."""
    return isinstance(node, ast.Call) and dotted(node.func) == ("iter",)


class _Scan:
    """Collects into one :class:`Body`; functions found get bodies of their own."""

    def __init__(self, result: Body, owner: str | None, *, nested: bool) -> None:
        self.body = result
        self.owner = owner
        self.nested = nested
        self.loops = 0

    def all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.one(node)

    def one(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._function(node)
            case ast.ClassDef():
                self._decorated(node)
                self.all([*node.bases, *node.keywords])
                owner, self.owner = self.owner, node.name
                self.all(node.body)
                self.owner = owner
                self._alias(node.name, _union(a.value for a in node.body if isinstance(a, ast.Assign)))
            case ast.Expr(value=ast.Call() as call) | ast.Expr(value=ast.Await(value=ast.Call() as call)):
                self._call(call, statement=True)
            case ast.Call():
                self._call(node, statement=False)
            case ast.For() | ast.AsyncFor() | ast.While():
                self._loop(node)
            case _:
                self._assigned(node)
                self.all(ast.iter_child_nodes(node))

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        if not isinstance(node, ast.While):
            self._store(node.target, node.iter)
        self.loops += 1
        self.all(ast.iter_child_nodes(node))
        self.loops -= 1

    def _assigned(self, node: ast.AST) -> None:
        match node:
            case ast.Assign():
                for target in node.targets:
                    self._store(target, node.value)
            case ast.AugAssign(target=ast.Name(id=name)):
                self.body.mutated.add(name)
                self._alias(name, {Root(name), *roots(node.value)})
            case ast.AnnAssign() | ast.AugAssign() | ast.NamedExpr():
                self._store(node.target, node.value)
            case ast.comprehension():
                self._store(node.target, node.iter)
            case ast.withitem() if node.optional_vars:
                self._store(node.optional_vars, node.context_expr)
            case ast.Delete():
                self._store(ast.Tuple(node.targets, ast.Del()), None)
            case ast.Match() | ast.Return() | ast.Yield() | ast.YieldFrom():
                self._handed(node)

    def _store(self, target: ast.expr, value: ast.expr | None) -> None:
        pairs = (
            zip(target.elts, value.elts, strict=False)
            if isinstance(target, ast.Tuple | ast.List)
            and isinstance(value, ast.Tuple | ast.List)
            and not any(isinstance(e, ast.Starred) for e in (*target.elts, *value.elts))
            else [(target, value)]
        )
        for one, given in pairs:
            for name in target_names(one):
                self._alias(name, roots(given))
            for part in ast.walk(one):
                if isinstance(part, ast.Attribute | ast.Subscript) and not isinstance(part.ctx, ast.Load):
                    held = roots(part.value)
                    self.body.mutated.update(root.name for root in held)
                    for root in held:
                        self._alias(root.name, {root, *roots(given)})

    def _handed(self, node: ast.Match | ast.Return | ast.Yield | ast.YieldFrom) -> None:
        if not isinstance(node, ast.Match):
            self._alias(RETURNED, roots(node.value))
            return
        for part in (part for case in node.cases for part in ast.walk(case.pattern)):
            for name in binds(part):
                self._alias(name, roots(node.subject))

    def _alias(self, name: str, held: Iterable[Root]) -> None:
        self.body.aliases.setdefault(name, set()).update(held)

    def _call(self, node: ast.Call, *, statement: bool) -> None:
        fresh = dotted(node.func) == ("next",) and all(_is_fresh(arg) for arg in node.args[:1])
        args = tuple((None, frozenset[Root]() if fresh else roots(arg)) for arg in node.args)
        keywords = tuple((keyword.arg, roots(keyword.value)) for keyword in node.keywords)
        receiver = roots(node.func.value) if isinstance(node.func, ast.Attribute) else frozenset()
        site = CallSite(dotted(node.func), receiver, args + keywords, statement, self.loops > 0)
        self.body.sites.append(site)
        self.all(ast.iter_child_nodes(node))

    def _decorated(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            func = decorator.func if isinstance(decorator, ast.Call) else decorator
            given = ((None, frozenset({Root(node.name)})),)
            held = roots(func.value) if isinstance(func, ast.Attribute) else frozenset()
            self.body.sites.append(CallSite(dotted(func), held, given, statement=True, looped=False))
            self.one(decorator)

    def _function(self, node: FunctionNode) -> None:
        if not isinstance(node, ast.Lambda):
            self._decorated(node)
            self._alias(node.name, _union(value for value in node.args.defaults))
        self.all([*node.args.defaults, *node.args.kw_defaults])
        local, module, outer = locals_of(node)
        inner = _Scan(Body(), None, nested=True)
        inner.all(body_of(node))
        name = "" if isinstance(node, ast.Lambda) else node.name
        if isinstance(node, ast.Lambda):
            inner.body.aliases.setdefault(RETURNED, set()).update(roots(node.body))
        bound = (frozenset(local), frozenset(module), frozenset(outer))
        function = Function(name, self.owner, tuple(parameters(node)), *bound, inner.body, self.nested)
        self.body.functions.append(function)
