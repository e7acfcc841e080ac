"""Follows the text of a slice as Python would, with values as far as they are known; runs nothing of it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from .expressions import Expressions, TooLong
from .facts import Facts
from .values import (
    DATA,
    UNKNOWN,
    Arguments,
    Class,
    Constant,
    Function,
    Items,
    Outside,
    Scope,
    Thing,
    Value,
    from_data,
    joined,
)

_DEPTH = 30
_READ_LATER = ("__getitem__", "__iter__", "setup", "prepare_data", "train_dataloader", "test_dataloader")

__all__ = ["Follower", "TooLong"]


class Follower(Expressions):
    """Follows one slice.

    Args:
        facts: where to note what it reads and needs.
        modules: source of the slice's helper modules, by dotted name.
    """

    def __init__(self, facts: Facts, modules: Mapping[str, bytes]) -> None:
        super().__init__(facts)
        self._sources = modules
        self._modules: dict[str, Scope] = {}
        self._depth = 0
        self._returned: list[list[Value]] = []

    def follow(self, statements: Sequence[ast.stmt], scope: Scope) -> bool:
        """Follow ``statements``; whether they surely return, raise or leave a loop.

        Raises:
            TooLong: there is too much to follow.
        """
        for statement in statements:
            if scope.own:
                self._facts.line = statement.lineno
            self._step()
            act = getattr(self, f"_{type(statement).__name__.lower()}", None)
            if act is not None and act(statement, scope):
                return True
        return False

    # -- statements -----------------------------------------------------------------------------

    def _assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.value(node.value, scope)
        for target in node.targets:
            self._bind(target, value, scope)

    def _annassign(self, node: ast.AnnAssign, scope: Scope) -> None:
        if node.value is not None:
            self._bind(node.target, self.value(node.value, scope), scope)

    def _augassign(self, node: ast.AugAssign, scope: Scope) -> None:
        old = self.value(node.target, scope)
        self._bind(node.target, self._binary(node.op, old, self.value(node.value, scope)), scope)

    def _expr(self, node: ast.Expr, scope: Scope) -> None:
        self.value(node.value, scope)

    def _functiondef(self, node: ast.FunctionDef, scope: Scope) -> None:
        scope.names[node.name] = Function(node, scope)

    _asyncfunctiondef = _functiondef

    def _classdef(self, node: ast.ClassDef, scope: Scope) -> None:
        inner = Scope({}, scope, scope.own)
        self.follow(node.body, inner)
        scope.names[node.name] = Class(node.name, inner, tuple(self.value(b, scope) for b in node.bases))

    def _import(self, node: ast.Import, scope: Scope) -> None:
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            scope.names[alias.asname or name] = self._module(name)

    def _importfrom(self, node: ast.ImportFrom, scope: Scope) -> None:
        module = self._module(node.module or "")
        for alias in node.names:
            if alias.name == "*" and isinstance(module, Scope):
                scope.names.update(module.names)
            scope.names[alias.asname or alias.name] = self._attribute_of(module, alias.name)

    def _module(self, name: str) -> Value:
        if name not in self._sources:
            return Outside(name)
        if name not in self._modules:
            self._modules[name] = scope = Scope({}, None, own=False)
            self.follow(ast.parse(self._sources[name]).body, scope)
        return self._modules[name]

    def _if(self, node: ast.If, scope: Scope) -> bool:
        test = self.value(node.test, scope)
        if isinstance(test, Constant):
            return self.follow(node.body if test.value else node.orelse, scope)
        before = dict(scope.names)
        with self._doubting(not from_data(test)):
            self._narrow(node.test, scope)
            ended = self.follow(node.body, scope)
            after, scope.names = scope.names, before
            ended_else = self.follow(node.orelse, scope)
        if ended_else:
            scope.names = after
        elif not ended:
            both = [name for name in after if name in scope.names]
            scope.names = {**after, **scope.names} | {n: joined([after[n], scope.names[n]]) for n in both}
        return ended and ended_else

    def _for(self, node: ast.For, scope: Scope) -> None:
        turns = self._turns(self.value(node.iter, scope))
        for item in turns:
            self._bind(node.target, item, scope)
            self.follow(node.body, scope)
        self.follow(node.orelse, scope)

    _asyncfor = _for

    def _while(self, node: ast.While, scope: Scope) -> None:
        self.value(node.test, scope)
        self.follow(node.body, scope)

    def _with(self, node: ast.With, scope: Scope) -> bool:
        for item in node.items:
            value = self.value(item.context_expr, scope)
            if item.optional_vars is not None:
                self._bind(item.optional_vars, value, scope)
        return self.follow(node.body, scope)

    _asyncwith = _with

    def _try(self, node: ast.Try, scope: Scope) -> bool:
        with self._doubting():
            ended = self.follow([*node.body, *node.orelse], scope)
            for handler in node.handlers:
                self.follow(handler.body, Scope({}, scope, scope.own))
        return self.follow(node.finalbody, scope) or ended

    def _match(self, node: ast.Match, scope: Scope) -> None:
        self.value(node.subject, scope)
        with self._doubting():
            for case in node.cases:
                self.follow(case.body, Scope({}, scope, scope.own))

    def _return(self, node: ast.Return, scope: Scope) -> bool:
        value = self.value(node.value, scope) if node.value else Constant(None)
        if self._returned:
            self._returned[-1].append(value)
        return True

    def _raise(self, node: ast.Raise, scope: Scope) -> bool:
        return True

    _continue = _break = _raise

    # -- calls ----------------------------------------------------------------------------------

    def call(self, function: Value, given: Arguments) -> Value | None:
        """The result of one of the notebook's own functions or classes; None where it is neither."""
        match function:
            case Function():
                return self._call(function, given)
            case Class():
                made = Thing(function)
                for name in ("__init__", *_READ_LATER):
                    method = self._attribute_of(made, name)
                    if isinstance(method, Function):
                        self._call(
                            method, given if name == "__init__" else ([DATA] * (name == "__getitem__"), {})
                        )
                return made
            case Thing():
                inner = self._attribute_of(function, "__call__")
                inner = inner if isinstance(inner, Function) else self._attribute_of(function, "forward")
                return self._call(inner, given) if isinstance(inner, Function) else UNKNOWN
        return None

    def _call(self, function: Function, given: Arguments) -> Value:
        if self._depth >= _DEPTH:
            return UNKNOWN
        scope, line = Scope({}, function.scope, function.scope.own), self._facts.line
        self._give(function, given, scope)
        self._depth += 1
        if isinstance(function.node, ast.Lambda):
            results = [self.value(function.node.body, scope)]
        else:
            self._returned.append([])
            self.follow(function.node.body, scope)
            results = self._returned.pop()
        self._depth -= 1
        self._facts.line = line
        return joined(results) if results else Constant(None)

    def _give(self, function: Function, given: Arguments, scope: Scope) -> None:
        arguments = function.node.args
        names = [item.arg for item in (*arguments.posonlyargs, *arguments.args)]
        values = [function.owner, *given[0]] if function.owner is not None else given[0]
        scope.names.update(dict.fromkeys((*names, *(item.arg for item in arguments.kwonlyargs)), UNKNOWN))
        defaults = [*zip(names[::-1], arguments.defaults[::-1], strict=False)]
        words = [*zip((item.arg for item in arguments.kwonlyargs), arguments.kw_defaults, strict=True)]
        for name, default in (*defaults, *words):
            scope.names[name] = self.value(default, function.scope) if default is not None else UNKNOWN
        scope.names.update(zip(names, values, strict=False))
        scope.names.update(given[1])
        if arguments.vararg:
            scope.names[arguments.vararg.arg] = Items(list(values[len(names) :]))
        if arguments.kwarg:
            scope.names[arguments.kwarg.arg] = UNKNOWN
