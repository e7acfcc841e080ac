"""Rules about hidden state: names that depend on which cells ran, in which order, and on chance."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator

from ..analysis import Place, Statement, Unresolved
from .facts import Facts
from .shapes import Finding, Level, at

_SEED = re.compile(
    r"(^|\.)(manual_seed|manual_seed_all|seed_everything|set_seed|set_determinism|seed|default_rng)$"
)
_BUILTINS = frozenset(dir(builtins))


class HiddenState:
    """What a block reads depends on cells that do not run at a site, or on the order of cells."""

    code = "NF104"
    title = "Hidden dependence on other cells"
    levels: tuple[Level, ...] = ("error", "warning", "hint")
    why = (
        "In a notebook a cell can read what another left behind: a deleted cell, a later one, or one that "
        "ran twice. A site runs the carried code once, from top to bottom."
    )
    example = "def train(...):\n    lr = learning_rate   # set again in a later cell"
    remedy = "Define each name once, in a cell above its first use."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Compare what carried statements read with what defines and changes it."""
        for missing in facts.analysis.unresolved:
            if missing.role in facts.unfilled:
                continue
            message = f"{missing.name} is used by the block {missing.role}, but no cell defines it."
            step = f"Define {missing.name} in a cell, or import it; it may come from a cell that was deleted."
            yield at(self._missing(facts, missing), self.code, "error", message, step)
        missing_names = {missing.name for missing in facts.analysis.unresolved}
        seen: set[tuple[str, int]] = set()
        for statement in facts.carried:
            for name in sorted((statement.reads | statement.deferred) - missing_names - _BUILTINS):
                others = [other for other in facts.analysis.statements if other.index != statement.index]
                for finding in self._name(facts, statement, name, others):
                    if (finding.message, finding.cell) not in seen:
                        seen.add((finding.message, finding.cell))
                        yield finding

    def _name(self, facts: Facts, reader: Statement, name: str, others: list[Statement]) -> Iterator[Finding]:
        defining = [other for other in others if name in other.defines]
        before = [other for other in defining if other.index < reader.index]
        after = [other for other in defining if other.index > reader.index]
        again = [other for other in after if _plain(other) and other in facts.carried]
        if not before and after and name in reader.reads and name not in reader.defines:
            message = f"{name} is used here, but only cell {after[0].place.cell} below defines it."
            place = self._use(facts, reader, name)
            yield at(place, self.code, "error", message, "Move the definition above this cell.")
        elif before and again and name in reader.deferred and name not in reader.reads:
            message = (
                f"{name} is set in cell {before[-1].place.cell} and again in cell {again[-1].place.cell}, "
                f"after this use; the last value counts."
            )
            place = self._use(facts, reader, name)
            yield at(place, self.code, "warning", message, "Use another name for one of the two.")
        yield from self._changed(facts, reader, name, others)

    def _changed(
        self, facts: Facts, reader: Statement, name: str, others: list[Statement]
    ) -> Iterator[Finding]:
        """Cells that change the object in place and stay behind."""
        carried = {statement.index for statement in facts.carried}
        defined = [other.index for other in others if name in other.defines]
        for other in others:
            if (
                name in other.mutates
                and other.index not in carried
                and defined
                and other.index < reader.index
            ):
                message = f"{name} is changed in cell {other.place.cell}, which no site runs."
                step = f"Make {name} complete where it is defined, in cell {_cell(facts, defined[0])}."
                yield at(self._use(facts, reader, name), self.code, "warning", message, step)

    def _missing(self, facts: Facts, missing: Unresolved) -> Place:
        readers = [s for s in facts.analysis.statements if s.place == missing.place]
        return self._use(facts, readers[0], missing.name) if readers else missing.place

    def _use(self, facts: Facts, reader: Statement, name: str) -> Place:
        """The first place where ``reader`` reads ``name``."""
        for node in ast.walk(reader.node):
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
                return facts.place(reader, node)
        return reader.place


class NoSeed:
    """Nothing in the notebook seeds a random stream."""

    code = "NF114"
    title = "No random seed"
    levels: tuple[Level, ...] = ("hint",)
    why = (
        "The federation seeds every site from the run's own seed, so its rounds can be repeated. The "
        "notebook by itself cannot, and splits made outside the federation differ from run to run."
    )
    example = "a notebook without torch.manual_seed(0)"
    remedy = "Call torch.manual_seed(0) near the top."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look for a call or argument that seeds."""
        if facts.analysis.framework != "torch" or not facts.analysis.blocks:
            return
        calls = {call for statement in facts.analysis.statements for call in statement.calls}
        seeded = any(_SEED.search(call) for call in calls) or any(
            isinstance(node, ast.Call) and _SEED.search(ast.unparse(node.func))
            for statement in facts.analysis.statements
            for node in ast.walk(statement.node)
        )
        if not seeded:
            message = "Nothing seeds the random streams; the notebook's own results cannot be repeated."
            yield at(None, self.code, "hint", message, self.remedy)


def _plain(statement: Statement) -> bool:
    """An assignment, not a definition or import again."""
    return isinstance(statement.node, ast.Assign | ast.AugAssign | ast.AnnAssign)


def _cell(facts: Facts, index: int) -> int:
    return facts.analysis.statements[index].place.cell
