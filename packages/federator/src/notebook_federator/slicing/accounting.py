"""What a slice carries and drops: names, helper modules, requirements and the strategy."""

from __future__ import annotations

from collections.abc import Iterable

from nbfed_site.contracts import Scalar

from ..analysis import Analysis, Import, LocalModule, Statement
from ..analysis.habits import FLOWER
from ..analysis.installed import normalised
from ..analysis.neighbours import reachable
from .narrowing import names_left
from .plan import Plan
from .shapes import Carried, Dropped


def account(analysis: Analysis, plan: Plan) -> tuple[tuple[Carried, ...], tuple[Dropped, ...]]:
    """Every top-level name of the notebook, once: carried by the slice, or dropped.

    A star import counts as the name ``MODULE.*``. Both are sorted by place, then name.
    """
    carried: dict[str, Carried] = {}
    first: dict[str, Dropped] = {}
    shown = set(plan.visible)
    for statement in analysis.statements:
        cell, line = statement.place.cell, statement.place.line
        kept = (
            names_left(statement, plan.names.get(statement.index, set()))
            if statement.index in shown
            else set()
        )
        for name in statement.defines | statement.writes:
            label = _label(statement, name)
            first.setdefault(label, Dropped(label, cell, line))
            why = plan.why.get(statement.index, "")
            parameter = plan.parameters.get(name)
            if parameter and statement.index in plan.hidden:
                carried[label] = Carried(label, cell, line, f"parameter ({parameter.meaning})")
            elif name in plan.made:
                carried[label] = Carried(label, cell, line, f"made by {plan.made[name]}")
            elif name in kept:
                carried[label] = Carried(label, cell, line, f"used by {why}")
    dropped = (first[name] for name in first if name not in carried)
    return tuple(sorted(carried.values(), key=_by_place)), tuple(sorted(dropped, key=_by_place))


def imports_carried(analysis: Analysis, plan: Plan) -> list[Import]:
    """Imports that stand in the slice, those inside functions included."""
    found = []
    for index in plan.visible:
        statement = analysis.statements[index]
        kept = names_left(statement, plan.names.get(index, set()))
        top = statement.defines
        found += [item for item in statement.imports if item.bound in kept or item.bound not in top]
    return found


def modules_of(analysis: Analysis, plan: Plan) -> tuple[LocalModule, ...]:
    """Helper modules that the carried imports lead to."""
    return reachable(analysis.modules, imports_carried(analysis, plan))


def requirements_for(analysis: Analysis, imports: Iterable[Import]) -> tuple[str, ...]:
    """Requirements of the carried imports and of pip lines that name what nothing imports; never Flower."""
    carried = list(imports)
    modules = reachable(analysis.modules, carried)
    tops = {i.module.partition(".")[0] for i in [*carried, *(i for m in modules for i in m.imports)]}
    wanted = [r for r in analysis.requirements if not r.modules or tops & set(r.modules)]
    return tuple(sorted(str(r) for r in wanted if normalised(r.distribution) not in FLOWER))


def strategy_of(analysis: Analysis) -> dict[str, Scalar]:
    """The strategy as the manifest holds it; empty where the notebook names none.

    One that is not known has an empty name, and says what was written where.
    """
    read = analysis.strategy
    if read is None:
        return {}
    if not read.name:
        return {"name": "", "written": read.written, "cell": read.place.cell, "line": read.place.line}
    return {"name": read.name, **read.settings}


def _label(statement: Statement, name: str) -> str:
    if name != "*":
        return name
    module = next((item.module for item in statement.imports if item.name == "*"), "")
    return f"{module}.*"


def _by_place(item: Carried | Dropped) -> tuple[int, int, str]:
    return item.cell, item.line, item.name
