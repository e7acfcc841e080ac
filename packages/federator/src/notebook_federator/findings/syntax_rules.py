"""Rules about cells that are not plain Python: broken ones, magics and shell lines, await."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..analysis import ParseError, Place, Statement
from ..notebook import Cell, Magic
from .facts import NEEDED, Facts, Spot
from .module_rules import module_of, written_file
from .shapes import Finding, Level, at

_PIP = re.compile(r"^[!%]{0,2}\s*(?:\S*python\S*\s+-m\s+)?(pip3?|conda|mamba|uv)\b")
_EFFECT = re.compile(
    r"^(?:!\s*(?:sudo\s+)?(unzip|tar|mkdir|cp|mv|rm|ln|apt(?:-get)?|python3?|chmod|export|make|bash|sh|sed)|"
    r"%(cd|env|set_env|run|load|pushd)|%%(bash|sh|script|R|javascript|perl|ruby|cython|sql)|!\s*(cd))\b"
)
_IPYTHON = {"get_ipython", "display", "In", "Out"}


class DoesNotParse:
    """A cell that is not Python."""

    code = "NF110"
    title = "Cell that does not parse"
    levels: tuple[Level, ...] = ("error", "warning")
    why = (
        "What a cell defines cannot be found if the cell is not valid Python. It is a warning where every "
        "block was found without it."
    )
    example = "for epoch in range(epochs)\n    ..."
    remedy = "Mend the line, or mark the cell `#| federate: skip`."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Report each cell that analysis could not parse."""
        roles = {block.role for block in facts.analysis.blocks}
        missing = bool(facts.analysis.unresolved) or not roles.issuperset(NEEDED)
        for error in facts.analysis.errors:
            directive = facts.notebook.cell(error.place.cell).directive
            if directive == "skip":
                continue
            level: Level = "error" if missing or directive else "warning"
            message = f"This cell does not parse: {error.message.rstrip('.')}."
            yield at(_pointed(error), self.code, level, message, self.remedy)


class MagicAtSite:
    """A magic or shell line that the blocks rely on."""

    code = "NF116"
    title = "Magic or shell line that no site runs"
    levels: tuple[Level, ...] = ("error", "warning")
    why = (
        "A site runs plain Python. Lines beginning with % or ! are left out, and IPython's own names do not "
        "exist. Lines that install with pip become dependencies, and plotting magics do no harm."
    )
    example = "!unzip patches.zip"
    remedy = "Write it in Python, or leave it to what each site does before it joins."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at magics in and outside the carried code, and at IPython's names."""
        carried = {s.place.cell: [] for s in facts.carried}  # type: dict[int, list[Statement]]
        for statement in facts.carried:
            carried[statement.place.cell].append(statement)
        for cell in facts.notebook.cells:
            for magic in cell.magics:
                yield from self._magic(facts, cell, magic, carried.get(cell.number, []))
        for spot in facts.spots:
            if isinstance(spot.node, ast.Name) and spot.node.id in _IPYTHON and _is_bare(facts, spot):
                message = f"{spot.node.id} exists in IPython only; it is not defined at a site."
                place = facts.place(spot.statement, spot.node)
                yield at(place, self.code, "error", message, "Leave it out of the blocks, or use print().")

    def _magic(self, facts: Facts, cell: Cell, magic: Magic, carried: list[Statement]) -> Iterator[Finding]:
        lines = cell.source.split("\n")
        first = magic.text.split("\n")[0]
        column = max(0, lines[magic.line - 1].find(first))
        place = Place(cell.number, magic.line, column, magic.line, column + len(first))
        if file := written_file(magic):
            module = module_of(file)
            beside = any(item.module == module for item in facts.analysis.modules)
            if not beside and any(i.module.split(".")[0] == module for s in facts.carried for i in s.imports):
                message = f"The blocks import {module}, which only this cell writes; no site runs the cell."
                step = f"Run the cell once, so that {file} stands beside the notebook and is carried along."
                yield at(place, self.code, "error", message, step)
        elif any(_holds(statement, magic.line) for statement in carried) and not _harmless(magic):
            message = "The blocks need this line, but no site runs it."
            yield at(place, self.code, "error", message, self.remedy)
        elif _EFFECT.match(magic.text):
            message = "No site runs this line; anything that it prepares is missing there."
            yield at(place, self.code, "warning", message, self.remedy)


class TopLevelAwait:
    """``await`` outside of any function, which only notebooks allow."""

    code = "NF119"
    title = "Await outside a function"
    levels: tuple[Level, ...] = ("error",)
    why = "A notebook runs top-level await in its own event loop; a site runs plain Python."
    example = "threshold = await fetch_threshold()"
    remedy = "Use asyncio.run(...), or compute the value without await."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look for asynchronous syntax outside functions, and for asynchronous blocks."""
        for spot in facts.spots:
            asynchronous = isinstance(spot.node, ast.Await | ast.AsyncFor | ast.AsyncWith)
            inside = any(
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) for node in spot.around
            )
            if asynchronous and not inside:
                place = facts.place(spot.statement, spot.node)
                yield at(place, self.code, "error", "A site cannot await outside a function.", self.remedy)
        for role in NEEDED:
            found = facts.function(role)
            if found and isinstance(found[1], ast.AsyncFunctionDef):
                message = f"{found[1].name} is asynchronous, and would never run."
                yield at(found[0].place, self.code, "error", message, "Make it a plain function.")


def _pointed(error: ParseError) -> Place:
    place = error.place
    return Place(place.cell, place.line, place.column, place.line, max(place.end_column, place.column + 1))


def _holds(statement: Statement, line: int) -> bool:
    return statement.place.line <= line <= max(statement.place.end_line, statement.place.line)


def _harmless(magic: Magic) -> bool:
    """Installs, timing, plotting and displays of documentation: nothing depends on them."""
    return bool(
        _PIP.match(magic.text)
        or re.match(r"^%%?(time|timeit|capture|matplotlib|load_ext|autoreload|config|prun)\b", magic.text)
        or magic.text.startswith("?")
        or magic.text.endswith("?")
    )


def _is_bare(facts: Facts, spot: Spot) -> bool:
    """Used outside of any condition, and defined nowhere in the notebook."""
    assert isinstance(spot.node, ast.Name)
    guarded = any(isinstance(node, ast.If | ast.IfExp | ast.Try) for node in spot.around)
    loads = isinstance(spot.node.ctx, ast.Load)
    defined = any(spot.node.id in statement.defines for statement in facts.analysis.statements)
    return loads and not guarded and not defined
