"""Cuts the blocks of a notebook, and what they need, into one module."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Literal

from nbfed_site.contracts import Manifest, Names, NotebookBlocked, Phase, digest

from ..analysis import Analysis, Block
from ..analysis.analysing import flow_of
from ..analysis.arguments import takes
from ..analysis.barring import barred
from ..analysis.binding import own_nodes
from ..analysis.closing import block_needs, is_import, moment_of, own_statements
from ..analysis.flow import Flow, Need
from .accounting import account, imports_carried, modules_of, requirements_for, strategy_of
from .functions import Calls, Cast, call_data, call_model, call_test, call_train
from .layout import lay_out
from .naming import find_names
from .narrowing import names_left
from .phases import place
from .plan import Plan
from .settings import call_parameter, find_parameters
from .shapes import Slice

_REQUIRED: tuple[Literal["data", "model", "train", "test"], ...] = ("data", "model", "train", "test")


def cut(analysis: Analysis) -> Slice:
    """The smallest module that holds the blocks of ``analysis`` and everything that they need.

    Unmarked code goes to the setup section, or to the latest section that it depends on. Calls of
    ``train`` and ``test`` in the notebook itself, and everything of Flower, stay behind.

    Raises:
        NotebookBlocked: a block is missing, is the unfilled template, or cannot be called.
    """
    blocks = _required(analysis)
    flow = flow_of(analysis)
    plan, cast = Plan(), Cast()
    calls = _calls(analysis, flow, blocks, cast)
    flow = flow.barring(barred(analysis, flow, blocks) | calls.replaced)
    _close(analysis, flow, blocks, calls, plan)
    _no_await(analysis, plan)
    find_parameters(analysis, plan)
    _call_parameters(analysis, blocks, plan)
    find_names(analysis, plan, cast)
    _take_arrays(plan, cast)
    return _finished(analysis, blocks, plan, cast)


def _required(analysis: Analysis) -> list[Block]:
    found = {role: analysis.block(role) for role in _REQUIRED}
    missing = [role for role, block in found.items() if block is None or not block.statements]
    if missing:
        raise NotebookBlocked(
            f"The notebook has no {' and no '.join(missing)} block.",
            where=analysis.notebook.name,
            hint="Define load_data, Model, train and test, or mark cells with `#| federate: data` and so on; "
            "`nbfed check` shows what was found.",
        )
    blocks = [block for block in found.values() if block is not None]
    for block in blocks:
        if block.template:
            raise NotebookBlocked(
                f"`{block.name}` is still the unfilled template.",
                where=f"notebook cell {block.place.cell}, line {block.place.line}",
                hint="Write your code between the START CODE HERE and END CODE HERE comments.",
            )
    return blocks


def _calls(analysis: Analysis, flow: Flow, blocks: Sequence[Block], cast: Cast) -> Calls:
    """Generated calls of those blocks that are functions, in order of phases.

    Where only some are, the calls take the names that the marked cells give.
    """
    calls = Calls()
    data, model, train, test = blocks
    if data.name:
        call_data(analysis, data, "data_path", cast, calls)
    if model.name:
        call_model(analysis, model, cast, calls)
    if (train.name or test.name) and not (data.name and model.name):
        marked = [(i, b.role) for b in blocks if not b.name for i in own_statements(analysis, flow, b)]
        find_names(analysis, Plan(dict(marked)), cast)  # type: ignore[arg-type]
    if train.name:
        call_train(analysis, train, "epochs", cast, calls)
    if test.name:
        call_test(analysis, test, cast, calls)
    return calls


def _close(analysis: Analysis, flow: Flow, blocks: Sequence[Block], calls: Calls, plan: Plan) -> None:
    """Fill ``plan`` with the closure of the blocks, by phase."""
    fixed: dict[int, Phase] = dict(calls.kept)
    needs: list[Need] = list(calls.needs)
    for block in blocks:
        needs += block_needs(analysis, flow, block)
        if block.name is None:
            fixed |= dict.fromkeys(own_statements(analysis, flow, block), block.role)  # type: ignore[arg-type]
    for index, phase in calls.kept.items():
        needs += [
            Need(n, index, f"the {phase} block") for n in sorted(flow.reads(index)) if flow.held(n, index)
        ]
    closure = flow.closure(needs, moment_of(analysis, blocks))
    reasons = {index: f"the {phase} block" for index, phase in fixed.items()}
    replaced = {i for i in calls.replaced if analysis.statements[i].defines & closure.missing.keys()}
    fixed |= dict.fromkeys(replaced, _REQUIRED[0])
    indices = closure.statements.keys() | fixed.keys()
    plan.phases = place(analysis, flow, indices, fixed)
    plan.hidden |= replaced
    plan.before, plan.after, plan.made = calls.before, calls.after, calls.made
    plan.why = closure.statements | reasons
    plan.names = closure.names
    _futures(analysis, plan)


def _futures(analysis: Analysis, plan: Plan) -> None:
    for statement in analysis.statements:
        if any(item.module == "__future__" for item in statement.imports):
            plan.phases[statement.index] = "setup"
            plan.why[statement.index] = "the whole notebook"
    unused = [i for i in plan.phases if is_import(analysis, i) and not _binds(analysis, plan, i)]
    for index in unused:
        del plan.phases[index]


def _no_await(analysis: Analysis, plan: Plan) -> None:
    awaiting = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    for index in plan.visible:
        node, place = analysis.statements[index].node, analysis.statements[index].place
        found = next((part for part in own_nodes([node]) if isinstance(part, awaiting)), None)
        if found is not None and not isinstance(node, ast.AsyncFunctionDef):
            raise NotebookBlocked(
                "A block needs code that awaits outside a function, which only Jupyter can run.",
                where=f"notebook cell {place.cell}, line {getattr(found, 'lineno', place.line)}",
                hint="Put it into a function and call that with `asyncio.run(...)`.",
            )


def _binds(analysis: Analysis, plan: Plan, index: int) -> bool:
    return bool(names_left(analysis.statements[index], plan.names.get(index, set())))


def _call_parameters(analysis: Analysis, blocks: Sequence[Block], plan: Plan) -> None:
    """Parameters that the generated calls use."""
    for block in blocks:
        if block.name and block.role == "data" and takes(block, "data_path"):
            call_parameter(analysis, block, "data_path", plan)
        if block.name and block.role == "train" and takes(block, "epochs"):
            call_parameter(analysis, block, "epochs", plan)


def _take_arrays(plan: Plan, cast: Cast) -> None:
    """One name for arrays of the data cells, which the site counts and shares out, and back again."""
    parts: tuple[tuple[Phase, str | None, tuple[str, ...]], ...] = (
        ("train", cast.train, cast.train_arrays),
        ("test", cast.test, cast.test_arrays),
    )
    for phase, made, names in parts:
        if names:
            arrays = ", ".join(names) if len(names) > 1 else f"({names[0]},)"
            plan.after.setdefault("data", []).append(f"{made} = {arrays}")
            plan.before.setdefault(phase, []).append(f"{arrays} = {made}")


def _finished(analysis: Analysis, blocks: Sequence[Block], plan: Plan, cast: Cast) -> Slice:
    layout = lay_out(analysis, plan)
    modules = modules_of(analysis, plan)
    carried, dropped = account(analysis, plan)
    forms = {"function" if block.name else "cell" for block in blocks}
    names = Names(
        cast.model or "", cast.train, cast.val, cast.test, cast.num_examples, cast.test_result, cast.metrics
    )
    manifest = Manifest(
        notebook=analysis.notebook.name,
        notebook_digest=analysis.notebook.digest,
        slice_digest=digest(layout.text.encode()),
        form="mixed" if len(forms) == 2 else "function" if "function" in forms else "cell",
        framework=analysis.framework,
        sections=layout.sections,
        spans=layout.spans,
        names=names,
        parameters=tuple(plan.parameters[name] for name in sorted(plan.parameters)),
        requirements=requirements_for(analysis, imports_carried(analysis, plan)),
        modules={module.path: digest(module.data) for module in modules},
        strategy=strategy_of(analysis),
        rounds=analysis.rounds.rounds if analysis.rounds else None,
    )
    return Slice(layout.text, manifest, {m.path: m.data for m in modules}, carried, dropped)
