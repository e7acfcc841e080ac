"""Follows names and objects through the statements of a notebook, once, from top to bottom."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from .changes import Change, Follower, Functions, Knowledge, all_functions, escaping
from .effects import Body, Root
from .flow import PATH, Flow, Held
from .habits import PRESENTATION
from .shapes import Statement


def trace(
    statements: Sequence[Statement], skipped: Collection[int] = (), foreign: Collection[str] = ()
) -> Flow:
    """Follow names and objects through ``statements``.

    ``skipped`` statements do not take part. ``foreign`` are top-level modules that are neither in the
    standard library nor installed: they need what was done to ``sys.path`` before.
    """
    tracer = _Tracer(foreign)
    for statement in statements:
        tracer.step(statement, skip=statement.index in skipped)
    tracer.before.append(dict(tracer.env))
    return Flow(statements, tracer.before, tracer.changed, tracer.changers, frozenset(skipped))


class _Tracer:
    def __init__(self, foreign: Collection[str]) -> None:
        self.foreign = foreign
        self.env: dict[str, Held] = {}
        self.before: list[Mapping[str, Held]] = []
        self.changed: list[frozenset[str]] = []
        self.changers: dict[str, list[int]] = {}
        self.functions: dict[int, Functions] = {}
        self.modules: dict[str, str] = {}
        self.methods: dict[str, Functions] = {}

    def step(self, statement: Statement, *, skip: bool) -> None:
        self.before.append(dict(self.env))
        if skip:
            self.changed.append(frozenset())
            return
        found = statement.body
        functions = tuple(all_functions(found))
        self.functions[statement.index] = functions
        for function in functions:
            if function.name:
                self.methods[function.name] = (*self.methods.get(function.name, ()), function)
        follower = Follower(self._knowledge())
        change = follower.changes(found)
        if not isinstance(statement.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for function in functions:
                inner = follower.changes(function.body, function.local | function.outer)
                change.mutated |= inner.mutated - function.local
                change.written |= inner.written
        self._record(statement, change, found, follower)
        self._bind(statement, change, found, follower)

    def _knowledge(self) -> Knowledge:
        direct: dict[str, Functions] = {}
        held: dict[str, Functions] = {}
        for name, value in self.env.items():
            functions = tuple(f for index in sorted(value.sources) for f in self.functions[index])
            if functions:
                held[name] = functions
            if value.binders and all(
                i in self.functions and self._is_definition(name, i) for i in value.binders
            ):
                direct[name] = functions
        return Knowledge(frozenset(self.modules), direct, held, self.methods)

    def _is_definition(self, name: str, index: int) -> bool:
        own = self.functions.get(index, ())
        return any((f.name == name and f.owner is None) or f.owner == name for f in own)

    def _record(self, statement: Statement, change: Change, found: Body, follower: Follower) -> None:
        objects: set[str] = set()
        for name in change.settings:
            objects |= {"module:" + self.modules[name]} - {"module:" + p for p in PRESENTATION}
        for name in change.mutated:
            if self.modules.get(name) in PRESENTATION:
                continue
            held = self.env.get(name)
            objects |= {PATH} if name == PATH else held.objects if held else set()
        for thing in sorted(objects):
            self.changers.setdefault(thing, []).append(statement.index)
        self.changed.append(frozenset(objects))
        for name in change.mutated & set(self.env) - statement.defines:
            inside = self._objects(found.aliases.get(name, set()), follower) | self._arguments(found, name)
            held = self.env[name]
            self.env[name] = replace(held, objects=held.objects | inside)

    def _arguments(self, found: Body, name: str) -> frozenset[str]:
        """Objects that calls of methods on ``name`` may have put into it."""
        given = (
            root
            for site in found.sites
            if any(root.name == name for root in site.receiver)
            for _, roots in site.args
            for root in roots
        )
        return frozenset(o for root in given if root.name in self.env for o in self.env[root.name].objects)

    def _objects(
        self, roots: Iterable[Root], follower: Follower, seen: frozenset[Root] = frozenset()
    ) -> frozenset[str]:
        """Objects that values with these roots may be or hold; results of the notebook's own functions
        hold what the functions return or keep."""
        objects: set[str] = set()
        for root in set(roots) - seen:
            held = self.env.get(root.name)
            if held is None or not follower.passes(root):
                continue
            made = root.guards[-1:] == (root.name,)
            itself = {f"{i}:{root.name}" for i in held.binders if self._is_definition(root.name, i)}
            objects |= held.objects - (itself if made else set())
            if root.guards:
                functions = (f for index in held.sources for f in self.functions[index])
                kept = {r for function in functions for r in escaping(function)}
                objects |= self._objects(kept, follower, seen | {root})
        return frozenset(objects)

    def _bind(self, statement: Statement, change: Change, found: Body, follower: Follower) -> None:
        index = statement.index
        inherited = {i for name in statement.reads if name in self.env for i in self.env[name].sources}
        sources = frozenset(inherited | ({index} if self.functions[index] else set()))
        made: dict[str, Held] = {}
        for name in sorted(statement.defines | change.written):
            inside = self._objects(found.aliases.get(name, set()), follower)
            value = Held(
                frozenset({index}), inside | {f"{index}:{name}"} | self._modules(statement, name), sources
            )
            old = self.env.get(name)
            keep = old is not None and name not in statement.certain
            made[name] = _joined(old, value) if keep and old else value
        self.env.update(made)
        for name in statement.deletes:
            self.env.pop(name, None)

    def _modules(self, statement: Statement, name: str) -> frozenset[str]:
        objects: set[str] = set()
        self.modules.pop(name, None)
        for item in statement.imports:
            if item.bound == name:
                top = item.module.split(".")[0]
                self.modules[name] = top
                objects.add("module:" + top)
                if top in self.foreign:
                    objects.add(PATH)
        return frozenset(objects)


def _joined(old: Held, new: Held) -> Held:
    return Held(old.binders | new.binders, old.objects | new.objects, old.sources | new.sources)
