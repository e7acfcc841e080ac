"""Which module-level names a statement binds and reads, now or when its functions are called.

Follows the scoping rules of the Python language reference, section 4.2 (naming and binding).
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .binding import ComprehensionNode, FunctionNode, binds, body_of, certain_names, locals_of, target_names


@dataclass(slots=True)
class Uses:
    """Module-level names: see the attributes of the same names on :class:`Statement`."""

    defines: set[str] = field(default_factory=set)
    deletes: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    deferred: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Scope:
    kind: Literal["function", "class", "comprehension", "generator"]
    bound: set[str]
    module: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)


def uses(node: ast.stmt) -> Uses:
    """The module-level names that ``node``, a top-level statement, binds and reads."""
    walker = _Walker()
    walker.visit(node)
    return walker.uses


class _Walker:
    """Visits one top-level statement with a stack of the scopes inside the module."""

    def __init__(self) -> None:
        self.uses = Uses()
        self.scopes: list[_Scope] = []
        self.sure: set[str] = set()

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._function(node)
            case ast.ClassDef():
                self._class(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._comprehension(node)
            case ast.Assign() | ast.AugAssign() | ast.AnnAssign():
                self._assignment(node)
            case ast.Global() if self.scopes:
                self.scopes[-1].module |= set(node.names)
            case ast.Name():
                self._name(node)
            case _ if not self._branching(node):
                for name in binds(node):
                    self._bind(name)
                self.visit_all(ast.iter_child_nodes(node))

    def _branching(self, node: ast.AST) -> bool:
        """Visit ``node`` if it is a compound statement, and say whether it was."""
        match node:
            case ast.If() | ast.While():
                self.visit(node.test)
                left = node.test.left if isinstance(node.test, ast.Compare) else node.test
                named = target_names(left.target) if isinstance(left, ast.NamedExpr) else ()
                self._branches(node.body, node.orelse, also=named)
            case ast.For() | ast.AsyncFor():
                self.visit_all([node.iter, node.target])
                self._branches(node.body, also=target_names(node.target))
                self._branches(node.orelse)
            case ast.With() | ast.AsyncWith():
                self.visit_all(node.items)
                targets = [item.optional_vars for item in node.items if item.optional_vars]
                self._branches(node.body, also={name for target in targets for name in target_names(target)})
            case ast.Try():
                self._branches([*node.body, *node.orelse], node.handlers, node.finalbody)
            case ast.ExceptHandler() | ast.match_case():
                self._handler(node)
            case _:
                return False
        return True

    def _branches(self, *branches: Sequence[ast.AST], also: Collection[str] = ()) -> None:
        """Visit alternative bodies; a name surely bound in one is not read from before it there."""
        for branch in branches:
            saved = set(self.sure)
            if not self.scopes:
                self.sure.update(also)
            for node in branch:
                self.visit(node)
                if not self.scopes and isinstance(node, ast.stmt):
                    self.sure |= certain_names([node])
            self.sure = saved

    def _handler(self, node: ast.ExceptHandler | ast.match_case) -> None:
        names = [*binds(node)]
        if isinstance(node, ast.match_case):
            names += [name for part in ast.walk(node.pattern) for name in binds(part)]
        for name in names:
            self._bind(name)
        if isinstance(node, ast.ExceptHandler):
            self.visit_all([node.type])
            self._branches(node.body, also=names)
        else:
            self.visit(node.pattern)
            self._branches([*([node.guard] if node.guard else []), *node.body], also=names)

    def _name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read(node.id)
        elif isinstance(node.ctx, ast.Store):
            self._bind(node.id)
        elif not self.scopes:
            self.uses.deletes.add(node.id)

    def _read(self, name: str) -> None:
        if self._is_local(name):
            return
        kinds = {scope.kind for scope in self.scopes}
        if "function" in kinds or "generator" in kinds:
            self.uses.deferred.add(name)
        if "function" not in kinds and name not in self.sure:
            self.uses.reads.add(name)

    def _is_local(self, name: str) -> bool:
        for depth, scope in enumerate(reversed(self.scopes)):
            if scope.kind == "class" and depth:
                continue
            if name in scope.module:
                return False
            if name in scope.bound and name not in scope.outer:
                return True
        return False

    def _bind(self, name: str) -> None:
        for scope in reversed(self.scopes):
            if scope.kind in ("comprehension", "generator"):
                if name in scope.bound:
                    return
                continue
            if name in scope.module:
                (self.uses.writes if scope.kind == "function" else self.uses.defines).add(name)
            else:
                scope.bound.add(name)
            return
        self.uses.defines.add(name)

    def _assignment(self, node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._read(node.target.id)
        if isinstance(node, ast.AnnAssign):
            self.visit(node.annotation)
            targets = [] if node.value is None and isinstance(node.target, ast.Name) else targets
        self.visit_all([node.value, *targets])

    def _function(self, node: FunctionNode) -> None:
        args = node.args
        everything = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
        self.visit_all([*args.defaults, *args.kw_defaults, *(a.annotation for a in everything if a)])
        if not isinstance(node, ast.Lambda):
            self.visit_all([*node.decorator_list, node.returns])
            self._bind(node.name)
        bound, module, outer = locals_of(node)
        self.scopes.append(_Scope("function", bound, module, outer))
        self.visit_all(body_of(node))
        self.scopes.pop()

    def _class(self, node: ast.ClassDef) -> None:
        self.visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self.scopes.append(_Scope("class", {"__module__", "__qualname__"}))
        self.visit_all(node.body)
        self.scopes.pop()
        self._bind(node.name)

    def _comprehension(self, node: ComprehensionNode) -> None:
        first, *others = node.generators
        self.visit(first.iter)
        bound = {name for generator in node.generators for name in target_names(generator.target)}
        kind: Literal["generator", "comprehension"] = (
            "generator" if isinstance(node, ast.GeneratorExp) else "comprehension"
        )
        self.scopes.append(_Scope(kind, bound))
        self.visit_all([*first.ifs, *(part for g in others for part in (g.iter, *g.ifs))])
        self.visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self.scopes.pop()
