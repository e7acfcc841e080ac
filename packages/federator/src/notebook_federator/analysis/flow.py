"""Dataflow between top-level statements, run once each in notebook order; the basis of every slice.

A backward slice in the sense of Weiser, *Program slicing* (IEEE TSE 1984), over statements as units:
a name needs the statements that may have bound it, and those that may have changed its object since.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .shapes import Statement

BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__", "__class__", "__builtins__"}
PATH = "sys.path"
"""The object that ``sys.path.append`` changes, and that imports of modules not installed need."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a name stands for at one point: who may have bound it, which objects, whose functions."""

    binders: frozenset[int]
    objects: frozenset[str]
    sources: frozenset[int]


@dataclass(frozen=True, slots=True)
class Need:
    """A name whose value just before statement ``position`` is needed, by whom; not ``firm``: if defined."""

    name: str
    position: int
    why: str
    firm: bool = True


@dataclass(slots=True)
class Closure:
    """Statements needed (index to why), the names needed of each, and names that nothing defines."""

    statements: dict[int, str] = field(default_factory=dict)
    names: dict[int, set[str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Flow:
    """The traced notebook. ``before[i]`` is what names stand for before statement i; the last: at the end.

    ``changed[i]`` are the objects that statement i may change, ``read[i]`` those it may read.
    """

    statements: Sequence[Statement]
    before: list[Mapping[str, Held]]
    changed: list[frozenset[str]]
    changers: Mapping[str, Sequence[int]]
    barred: frozenset[int] = frozenset()

    @property
    def end(self) -> int:
        """The position after the last statement."""
        return len(self.statements)

    def barring(self, indices: Collection[int]) -> Flow:
        """The same flow, with statements that no closure may hold."""
        return replace(self, barred=self.barred | frozenset(indices))

    def closure(self, needs: Iterable[Need], moment: int | None = None) -> Closure:
        """All statements that ``needs`` rest on, with the reason for each.

        Functions are called at ``moment`` (default: the end): the names that they read have the values
        of that moment, or of the end where they are not defined by then.
        """
        moment = self.end if moment is None else moment
        result = Closure()
        seen: set[tuple[str, int]] = set()
        waiting = list(needs)
        while waiting:
            need = waiting.pop()
            if (need.name, need.position) in seen:
                continue
            seen.add((need.name, need.position))
            held = self.held(need.name, need.position)
            if held is None:
                if need.firm and need.name not in BUILTINS:
                    result.missing.setdefault(need.name, need.why)
                continue
            if held.binders and held.binders <= self.barred:
                result.missing.setdefault(need.name, need.why)
            for index in held.binders:
                result.names.setdefault(index, set()).add(need.name)
            waiting += [Need(name, need.position, need.why, firm=False) for name in sorted(self.called(held))]
            for index in self.origins(held, need.position):
                if index not in self.barred and index not in result.statements:
                    result.statements[index] = need.why
                    waiting += self._needs_of(index, moment)
        return result

    def held(self, name: str, position: int) -> Held | None:
        """What ``name`` stands for before ``position``: star imports may define any name."""
        env = self.before[position]
        return env.get(name) or (env.get("*") if name not in BUILTINS else None)

    def called(self, held: Held) -> set[str]:
        """Names that functions held by a value read when they are called."""
        return {name for index in held.sources for name in self.statements[index].deferred}

    def origins(self, held: Held, position: int) -> list[int]:
        """Statements that bound the value, or changed its objects before ``position``."""
        changers = {i for o in held.objects for i in self.changers.get(o, ()) if i < position}
        return sorted(held.binders | changers)

    def reads(self, index: int) -> frozenset[str]:
        """Names that statement ``index`` needs when it runs."""
        statement = self.statements[index]
        plain = isinstance(statement.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        decorated = plain and bool(statement.node.decorator_list)  # type: ignore[attr-defined]
        return statement.reads if plain and not decorated else statement.reads | statement.deferred

    def _needs_of(self, index: int, moment: int) -> list[Need]:
        statement = self.statements[index]
        label = label_of(statement)
        now = [Need(n, index, label, firm=n in statement.reads) for n in sorted(self.reads(index))]
        later = sorted(statement.deferred)
        return [*now, *(Need(n, moment if self.held(n, moment) else self.end, label) for n in later)]


def label_of(statement: Statement) -> str:
    """How to name ``statement`` in a reason: what it defines, or where it stands."""
    names = sorted(statement.defines)
    return names[0] if len(names) == 1 else f"cell {statement.place.cell}, line {statement.place.line}"
