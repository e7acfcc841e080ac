"""From a notebook to an :class:`Analysis`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..notebook import Notebook, Role
from .blocks import last_use, marked_cells, recognise
from .distributions import foreign_modules, requirements_of
from .flow import Flow, Need
from .neighbours import local_modules
from .parsing import in_characters, parse
from .shapes import Analysis, Block, Framework, Import, RoundsRead, Statement, StrategyRead, Unresolved
from .strategy import read_message_length, read_rounds, read_strategy
from .suggestions import suggest
from .tracing import trace


def analyse(notebook: Notebook) -> Analysis:
    """Find definitions, dependences, imports, blocks and strategy without running any cell.

    Reads the metadata of installed distributions and helper modules beside the notebook.
    """
    every, errors = parse(notebook)
    skipped = tuple(cell.number for cell in marked_cells(notebook).get("skip", []))
    statements = tuple(s for s in every if s.place.cell not in skipped)
    imports = tuple(item for statement in statements for item in statement.imports)
    modules = local_modules(notebook.folder, imports, statements)
    local = {module.module.split(".")[0] for module in modules}
    needed = [*imports, *(item for module in modules for item in module.imports)]
    blocks = recognise(notebook, every)
    requirements = requirements_of(notebook, statements, needed, local)
    flow = trace(every, _indices(every, skipped), foreign_modules(requirements) | local)
    return Analysis(
        notebook,
        every,
        errors,
        imports,
        requirements,
        modules,
        blocks,
        suggest(notebook, statements, blocks),
        skipped,
        _read_strategy(notebook, statements),
        _read_rounds(notebook, statements),
        read_message_length(statements),
        _framework(needed),
        _unresolved(flow, every, blocks),
        flow,
    )


def _read_strategy(notebook: Notebook, statements: Sequence[Statement]) -> StrategyRead | None:
    read = read_strategy(statements)
    if read is None:
        return None
    places = {name: in_characters(place, notebook) for name, place in read.arguments.items()}
    return replace(read, place=in_characters(read.place, notebook), arguments=places)


def _read_rounds(notebook: Notebook, statements: Sequence[Statement]) -> RoundsRead | None:
    read = read_rounds(statements)
    return read and replace(read, place=in_characters(read.place, notebook))


def needs_of(block: Block, statements: Sequence[Statement]) -> list[Need]:
    """What ``block`` needs: its name when it was last used, or the names that its cells read."""
    why = f"the {block.role} block"
    if block.name is None:
        return [Need(name, i, why) for i in block.statements for name in sorted(statements[i].reads)]
    definition = statements[block.statements[0]]
    used = last_use(statements, definition, block.name)
    return [Need(block.name, len(statements) if used is None else used, why)]


def flow_of(analysis: Analysis) -> Flow:
    """The dataflow of an analysed notebook."""
    if analysis.flow is not None:
        return analysis.flow
    local = {module.module.split(".")[0] for module in analysis.modules}
    skipped = _indices(analysis.statements, analysis.skipped)
    return trace(analysis.statements, skipped, foreign_modules(analysis.requirements) | local)


def _indices(statements: Sequence[Statement], cells: Sequence[int]) -> list[int]:
    return [statement.index for statement in statements if statement.place.cell in cells]


def _framework(imports: Iterable[Import]) -> Framework:
    tops = {item.module.split(".")[0] for item in imports}
    if tops & {"torch", "torchvision", "monai", "pytorch_lightning", "lightning", "ignite"}:
        return "torch"
    if tops & {"keras", "tensorflow"}:
        return "keras"
    return "sklearn" if "sklearn" in tops else "unknown"


def _unresolved(
    flow: Flow, statements: Sequence[Statement], blocks: Sequence[Block]
) -> tuple[Unresolved, ...]:
    """Names that blocks need and nothing defines; each is placed where it is first read."""
    found: dict[str, Unresolved] = {}
    for block in blocks:
        if block.role == "aggregate":
            continue
        closure = flow.closure(needs_of(block, statements))
        indices = [*block.statements, *sorted(closure.statements)]
        for name in sorted(closure.missing):
            readers = [i for i in indices if name in statements[i].reads | statements[i].deferred]
            if readers and all(_binds_first(statements[i].node, name) for i in readers):
                continue
            role: Role = block.role
            reader = next(iter(readers), indices[0])
            found.setdefault(name, Unresolved(name, role, statements[reader].place))
    return tuple(found[name] for name in sorted(found))


def _binds_first(node: ast.stmt, name: str) -> bool:
    """Whether ``name`` is bound above its first use in ``node``: in a loop that comes first, say."""
    uses = [part for part in ast.walk(node) if isinstance(part, ast.Name) and part.id == name]
    bound = [part.lineno for part in uses if isinstance(part.ctx, ast.Store)]
    read = [part.lineno for part in uses if isinstance(part.ctx, ast.Load)]
    return bool(bound and read) and min(bound) < min(read)
