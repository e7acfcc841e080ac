"""Finds the parameters that the federation sets: epochs and the data folder."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from nbfed_site.contracts import Parameter, Scalar

from ..analysis import Analysis, Block, Statement
from ..analysis.arguments import own_argument, takes
from ..analysis.blocks import is_definition
from ..analysis.habits import DATA_NAME, EPOCHS_NAME
from ..analysis.parsing import call_name
from .plan import Edit, Plan

_PATHLIKE = re.compile(r"^(~|\.{1,2}|[A-Za-z]:)?[/\\]|^[\w .-]+[/\\][\w ./\\-]*$")
_READING = re.compile(r"read|load|open|folder|join|path|glob|listdir|dataset|walk|mnist|cifar", re.IGNORECASE)
_TRAINING = {"backward", "step", "train_step", "train_on_batch"}


def literal_of(statement: Statement) -> tuple[str, Scalar | None] | None:
    """Name and value of ``NAME = LITERAL``; None for anything else."""
    match statement.node:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value))
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value))
        ) if value is None or isinstance(value, bool | int | float | str):
            return name, value
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)),
        ):
            return name, -value
    return None


def find_parameters(analysis: Analysis, plan: Plan) -> None:
    """Turn literal assignments that the slice carries into parameters, by name, path or cell tag.

    A name assigned more than once stays as it is. ``Path("data")`` and ``range(10)`` around training get
    their literal replaced.
    """
    visible = [analysis.statements[i] for i in plan.visible]
    counts: dict[str, int] = {}
    for statement in visible:
        for name in statement.defines | statement.writes:
            counts[name] = counts.get(name, 0) + 1
    for statement in visible:
        found = literal_of(statement)
        if found and counts[found[0]] == 1 and (parameter := _parameter(analysis, statement, *found)):
            plan.parameters[parameter.name] = parameter
            plan.hidden.add(statement.index)
    visible = [analysis.statements[i] for i in plan.visible]
    if not _has(plan, "data_path"):
        _path_literal(visible, plan, counts)
    if not _has(plan, "data_path"):
        _inline_paths(analysis, visible, plan)
    if not _has(plan, "epochs"):
        _epoch_literal(visible, plan)


def call_parameter(
    analysis: Analysis, block: Block, kind: Literal["epochs", "data_path"], plan: Plan
) -> None:
    """Add the parameter of a generated call, with what the notebook's own call passes as its default."""
    given = own_argument(analysis, block, kind)
    value = given.value if isinstance(given, ast.Constant) else None
    wanted = given.id if isinstance(given, ast.Name) else kind
    for statement in analysis.statements:
        found = literal_of(statement)
        named = EPOCHS_NAME if kind == "epochs" else DATA_NAME
        if value is None and found and (found[0] == wanted or (not given and named.match(found[0]))):
            value = found[1]
    fallback = 1 if kind == "epochs" else None
    default = value if isinstance(value, bool | int | float | str) else fallback
    plan.parameters[kind] = Parameter(kind, kind, default)


def _parameter(analysis: Analysis, statement: Statement, name: str, value: Scalar | None) -> Parameter | None:
    if EPOCHS_NAME.match(name) and isinstance(value, int) and not isinstance(value, bool):
        return Parameter(name, "epochs", value)
    if DATA_NAME.match(name) and (value is None or isinstance(value, str)):
        return Parameter(name, "data_path", value)
    if "parameters" in analysis.notebook.cell(statement.place.cell).tags:
        return Parameter(name, "other", value)
    return None


def _has(plan: Plan, meaning: str) -> bool:
    return any(parameter.meaning == meaning for parameter in plan.parameters.values())


def _path_literal(visible: Iterable[Statement], plan: Plan, counts: dict[str, int]) -> None:
    """One folder written as ``Path("...")`` under a telling name, or as the only path among the literals."""
    plain: list[tuple[Statement, str, str]] = []
    for statement in visible:
        match statement.node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Call(args=[ast.Constant(value=str(text))]) as call
            ):
                if call_name(call).endswith("Path") and DATA_NAME.match(name):
                    plan.parameters["data_path"] = Parameter("data_path", "data_path", text)
                    plan.edits.setdefault(statement.index, []).append(_edit(call.args[0], "data_path"))
                    return
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                folder = "." not in text.replace("\\", "/").rstrip("/").rpartition("/")[2].lstrip(".")
                if _PATHLIKE.match(text) and "://" not in text and folder and counts[name] == 1:
                    plain.append((statement, name, text))
    if len(plain) == 1:
        statement, name, text = plain[0]
        plan.parameters[name] = Parameter(name, "data_path", text)
        plan.hidden.add(statement.index)


def _inline_paths(analysis: Analysis, visible: Iterable[Statement], plan: Plan) -> None:
    """Paths written where the data block reads them: their common folder becomes the parameter.

    ``"data/train.csv"`` and ``"data/test.csv"`` become ``data_path + "/train.csv"`` and so on.
    """
    block = analysis.block("data")
    own = set(block.statements) if block else set()
    if any("data_path" in statement.defines for statement in visible) or (
        block and takes(block, "data_path")
    ):
        return
    found = [
        (statement.index, node, text)
        for statement in visible
        if statement.index in own
        or (plan.phases[statement.index] in ("setup", "data") and not is_definition(statement.node))
        for node, text in _read_literals(statement.node)
        if _is_path(text)
    ]
    root = _common_folder([text for _, _, text in found])
    if not root or any(node.lineno != node.end_lineno for _, node, _ in found):
        return
    plan.parameters["data_path"] = Parameter("data_path", "data_path", root)
    for index, node, text in found:
        rest = text.rstrip("/")[len(root) :]
        new = f"(data_path + {rest!r})" if rest else "data_path"
        plan.edits.setdefault(index, []).append(_edit(node, new))


def _read_literals(statement: ast.stmt) -> Iterator[tuple[ast.Constant, str]]:
    """Strings given to calls that read files or folders."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and _READING.search(call_name(node).split(".")[-1]):
            for given in (*node.args, *(keyword.value for keyword in node.keywords)):
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    yield given, given.value


def _is_path(text: str) -> bool:
    return bool(_PATHLIKE.match(text)) and "://" not in text and "\\" not in text and len(text) > 1


def _common_folder(texts: list[str]) -> str:
    """The deepest folder that all paths are in; a lone path's folder if it is a file, else itself."""
    if not texts:
        return ""
    folders = [text.rstrip("/").split("/") for text in texts]
    folders = [parts[:-1] if "." in parts[-1].lstrip(".") else parts for parts in folders]
    common = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "" if common in ([], ["."], [".."], ["~"]) else "/".join(common)


def _epoch_literal(visible: Iterable[Statement], plan: Plan) -> None:
    """The literal of ``for ... in range(10)`` around a training step, or of ``fit(epochs=10)``."""
    names: Collection[str] = {name for statement in visible for name in statement.defines}
    if "epochs" in names:
        return
    for statement in visible:
        if plan.phases[statement.index] != "train":
            continue
        node = _epoch_node(statement.node)
        if node is not None and isinstance(node.value, int):
            plan.parameters["epochs"] = Parameter("epochs", "epochs", node.value)
            plan.edits.setdefault(statement.index, []).append(_edit(node, "epochs"))
            return


def _epoch_node(statement: ast.stmt) -> ast.Constant | None:
    for node in ast.walk(statement):
        match node:
            case ast.For(iter=ast.Call() as call):
                target = ast.unparse(node.target)
                trains = any(call_name(n).split(".")[-1] in _TRAINING for n in ast.walk(node))
                constants = [
                    n for n in ast.walk(call) if isinstance(n, ast.Constant) and isinstance(n.value, int)
                ]
                if "range(" in ast.unparse(call) and (trains or "epoch" in target) and len(constants) == 1:
                    return constants[0]
            case ast.keyword(arg="epochs" | "max_epochs" | "nb_epoch", value=ast.Constant() as value):
                return value
    return None


def _edit(node: ast.expr, text: str) -> Edit:
    return Edit(node.lineno, node.col_offset, node.end_col_offset or node.col_offset, text)
