"""Matches what the federation has to the parameters of ``load_data``, ``train`` and ``test``."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbfed_site.contracts import NotebookBlocked

from .parsing import call_name
from .shapes import Analysis, Block, Param, Statement

Given = Mapping[str, str]
"""Source text for each of ``net``, ``train``, ``val``, ``test``, ``epochs``, ``data_path``."""

_KINDS: Sequence[tuple[str, re.Pattern[str]]] = (
    ("epochs", re.compile(r"epoch", re.IGNORECASE)),
    ("data_path", re.compile(r"path|dir|folder|root", re.IGNORECASE)),
    ("val", re.compile(r"val|dev(?!ice)", re.IGNORECASE)),
    ("test", re.compile(r"test", re.IGNORECASE)),
    (
        "net",
        re.compile(
            r"^(m|net|network|model|module|classifier|clf)$|_(net|model)$|^(net|model)_", re.IGNORECASE
        ),
    ),
    ("train", re.compile(r"train|loader|^dl$|data|iterator", re.IGNORECASE)),
)
_EXTRA = re.compile(
    r"device|optim|crit|loss|^lr$|rate|batch|size|sched|verbose|log|seed|config|args|name|class|momentum",
    re.IGNORECASE,
)
_TEMPLATE = {
    "data": ("data_path",),
    "train": ("net", "train", "val", "epochs"),
    "test": ("net", "test"),
}


@dataclass(frozen=True, slots=True)
class Arguments:
    """Source of a call's arguments, and the notebook's names that they read."""

    text: str
    reads: tuple[str, ...] = ()


def arguments(analysis: Analysis, block: Block, given: Given) -> Arguments:
    """The arguments of a call of ``block``'s function.

    Parameters are matched by name, then by the template's order; one that the contract does not know
    takes what the notebook's own last call gives it, or a global of the same name (``device``).

    Raises:
        NotebookBlocked: a parameter without default that nothing can fill.
    """
    params = [
        p for p in (block.signature.params if block.signature else ()) if p.kind in ("positional", "keyword")
    ]
    own = _own_arguments(analysis, block, params)
    values: dict[str, str] = {}
    reads: list[str] = []
    kinds = _kinds(block.role, params)
    for param in params:
        kind = kinds.get(param.name, "")
        if kind in given:
            values[param.name] = given[kind]
        elif not param.has_default:
            values[param.name], names = _borrowed(analysis, block, param, own)
            reads += names
    return Arguments(_text(params, values), tuple(reads))


def own_call(analysis: Analysis, name: str) -> tuple[Statement, ast.Call] | None:
    """The notebook's own last top-level call of ``name``, outside functions and classes."""
    for statement in reversed(analysis.statements):
        if isinstance(statement.node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        if name in statement.calls and statement.place.cell not in analysis.skipped:
            for node in ast.walk(statement.node):
                if isinstance(node, ast.Call) and call_name(node) == name:
                    return statement, node
    return None


def own_argument(analysis: Analysis, block: Block, kind: str) -> ast.expr | None:
    """What the notebook's own last call gives the parameter of ``kind``."""
    params = [
        p for p in (block.signature.params if block.signature else ()) if p.kind in ("positional", "keyword")
    ]
    own = _own_arguments(analysis, block, params)
    kinds = _kinds(block.role, params)
    return next((own[p.name] for p in params if kinds.get(p.name) == kind and p.name in own), None)


def takes(block: Block, kind: str) -> bool:
    """Whether ``block``'s function has a parameter of ``kind``."""
    params = block.signature.params if block.signature else ()
    return kind in _kinds(block.role, params).values()


def _kinds(role: str, params: Sequence[Param]) -> dict[str, str]:
    """The kind of each parameter: by its name, the rest by the order of the template."""
    known = _TEMPLATE.get(role, ())
    kinds: dict[str, str] = {}
    for param in params:
        kind = next((kind for kind, pattern in _KINDS if pattern.search(param.name)), "")
        if role == "test" and kind in ("train", "val", "data_path"):
            kind = "test"
        if role == "train" and kind == "test":
            kind = "val"
        if kind in known and kind not in kinds.values():
            kinds[param.name] = kind
    required = [p for p in params if not p.has_default]
    free = [kind for kind in known if kind not in kinds.values()]
    if [p.name for p in required if p.name not in kinds] and len(required) <= len(known):
        for param, kind in zip(required, known, strict=False):
            if param.name not in kinds and kind in free and not _EXTRA.search(param.name):
                kinds[param.name] = kind
    return kinds


def _own_arguments(analysis: Analysis, block: Block, params: Sequence[Param]) -> dict[str, ast.expr]:
    found = own_call(analysis, block.name or "")
    if found is None:
        return {}
    positional = [p.name for p in params if p.kind == "positional"]
    values = dict(zip(positional, found[1].args, strict=False))
    values |= {keyword.arg: keyword.value for keyword in found[1].keywords if keyword.arg}
    return values


def _borrowed(
    analysis: Analysis, block: Block, param: Param, own: Mapping[str, ast.expr]
) -> tuple[str, list[str]]:
    defined = {name for statement in analysis.statements for name in statement.defines}
    if param.name in own:
        names = [n.id for n in ast.walk(own[param.name]) if isinstance(n, ast.Name)]
        return ast.unparse(own[param.name]), names
    for name in (param.name, param.name.upper()):
        if name in defined:
            return name, [name]
    raise NotebookBlocked(
        f"`{block.name}` has a parameter `{param.name}` that the federation cannot fill.",
        where=f"notebook cell {block.place.cell}, line {block.place.line}",
        hint=f"Give `{param.name}` a default value, or define a global of that name.",
    )


def _text(params: Sequence[Param], values: Mapping[str, str]) -> str:
    parts: list[str] = []
    skipped = False
    for param in params:
        if param.name not in values:
            skipped = True
        elif skipped or param.kind == "keyword":
            parts.append(f"{param.name}={values[param.name]}")
        else:
            parts.append(values[param.name])
    return ", ".join(parts)
