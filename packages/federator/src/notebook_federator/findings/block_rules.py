"""Rules about the blocks: filled, present, marked, and with a signature that can be called."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator

from nbfed_site.contracts import NotebookBlocked

from ..analysis import Block, Place
from ..analysis.arguments import arguments, own_call
from ..notebook import ROLES, Cell, Role
from .facts import NEEDED, Facts
from .shapes import Finding, Level, at

_WHERE = re.compile(r"cell (\d+), line (\d+)")
_GIVEN = ("net", "train", "val", "test", "epochs", "data_path")
_WHAT: dict[Role, str] = {
    "data": "a function load_data(data_path)",
    "model": "a class Model",
    "train": "a function train(net, trainloader, valloader, epochs)",
    "test": "a function test(net, testloader)",
}


class UnfilledTemplate:
    """A block is still the empty template."""

    code = "NF101"
    title = "Unfilled template"
    levels: tuple[Level, ...] = ("error",)
    why = "Nothing stands between the START CODE HERE and END CODE HERE marks, so there is nothing to run."
    example = "def test(net, testloader):\n    ### START CODE HERE ###\n    ### END CODE HERE ###"
    remedy = "Write your code between the marks."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at every recognised block."""
        for block in facts.analysis.blocks:
            if block.role in facts.unfilled:
                message = f"{block.name or 'This cell'} is still the empty template."
                yield at(_head(facts, block), self.code, "error", message, self.remedy)


class MissingBlock:
    """No cell plays a role."""

    code = "NF102"
    title = "Missing block"
    levels: tuple[Level, ...] = ("error", "hint")
    why = (
        "A federation needs the data, model, train and test blocks. Without an aggregation block it "
        "averages the sites' models, weighted by their training samples (FedAvg)."
    )
    example = "a notebook that never defines test(), with no cell marked `#| federate: test`"
    remedy = (
        "Define the function or class under its template name, or put `#| federate: ROLE` in the first "
        "line of the cells that play the role."
    )

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look for each role among blocks and suggestions."""
        known = {block.role for block in (*facts.analysis.blocks, *facts.analysis.suggestions)}
        for role in NEEDED:
            if role not in known:
                step = f"Write {_WHAT[role]}, or put `#| federate: {role}` in the first line of its cells."
                yield at(None, self.code, "error", f"No cell plays the role {role}.", step)
        if "aggregate" not in known and facts.analysis.strategy is None:
            message = "No aggregation block: the sites' models are averaged (FedAvg)."
            step = "Nothing to do, or define `strategy`, or choose one with --strategy."
            yield at(None, self.code, "hint", message, step)


class WrongSignature:
    """A block's function cannot be called as the federation calls it."""

    code = "NF103"
    title = "Wrong signature"
    levels: tuple[Level, ...] = ("error",)
    why = (
        "The federation calls load_data(data_path), Model(), train(net, trainloader, valloader, epochs) and "
        "test(net, testloader). Other parameters take their default, what the notebook's own call gives "
        "them, or a global of the same name; where there is none of these, the call is impossible."
    )
    example = "def train(net, trainloader, valloader, epochs, fold):\n    ..."
    remedy = "Give the parameter a default value."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Try each function's call."""
        for block in facts.analysis.blocks:
            if (
                block.signature is None
                or block.name is None
                or block.role not in set(NEEDED) - facts.unfilled
            ):
                continue
            if blocked := _uncallable(facts, block):
                yield at(_head(facts, block), self.code, "error", blocked.what, blocked.hint)


class NotCut:
    """The blocks are there, but no module can be made of them."""

    code = "NF120"
    title = "Blocks that cannot be cut out"
    levels: tuple[Level, ...] = ("error",)
    why = "The blocks must run without the rest of the notebook, in the order data, model, train, test."
    example = "#| federate: data\nloader = DataLoader(data, collate_fn=net.collate)   # net: a model cell"
    remedy = "Do what the message says; mark more cells, or move code between them."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Pass on what the cutting of the slice says."""
        if facts.blocked is None:
            return
        match = _WHERE.search(facts.blocked.where)
        place = Place(int(match[1]), int(match[2])) if match else None
        yield at(place, self.code, "error", facts.blocked.what, facts.blocked.hint or self.remedy)


class BadMark:
    """A mark that is unknown, contradictory or not where marks stand."""

    code = "NF117"
    title = "Unknown or conflicting mark"
    levels: tuple[Level, ...] = ("error", "warning")
    why = "A mark that cannot be read leaves its cell out of the federation, or gives it the wrong role."
    example = "#| federate: trian"
    remedy = "Use one mark per cell, in its first line or as a tag: " + ", ".join(ROLES) + "."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at first lines, other lines and tags of every cell."""
        for cell in facts.notebook.cells:
            marks = _marks(cell)
            place = Place(cell.number, _first_line(cell), 0, 0, 0)
            if len(set(marks)) > 1:
                message = (
                    f"The cell is marked {' and '.join(dict.fromkeys(marks))}; it can play one role only."
                )
                yield at(place, self.code, "error", message, "Keep one mark, or split the cell.")
            for mark in dict.fromkeys(marks):
                if mark not in ROLES:
                    yield at(place, self.code, "error", f"{mark or 'Nothing'} is no role.", self._guess(mark))
            yield from self._misplaced(cell)

    def _guess(self, mark: str) -> str:
        close = difflib.get_close_matches(mark, ROLES, 1)
        return f"Did you mean {close[0]}?" if close else self.remedy

    def _misplaced(self, cell: Cell) -> Iterator[Finding]:
        for number, line in enumerate(cell.source.split("\n"), start=1):
            if _is_mark(line) and (cell.kind != "code" or number > _first_line(cell)):
                where = "in the first line of a code cell"
                message = f"This mark has no effect: marks stand {where}."
                place = Place(cell.number, number, 0, number, len(line))
                yield at(place, self.code, "warning", message, f"Move it, so that it stands {where}.")


class OnlySuggested:
    """Cells look like a role but nobody has said so."""

    code = "NF118"
    title = "Role suggested, not marked"
    levels: tuple[Level, ...] = ("error",)
    why = "A guess about what trains or tests a model must be confirmed by the notebook's author."
    example = "for epoch in range(num_epochs): ...   # in a cell without a mark"
    remedy = "Run `nbfed check --fix` to write the suggested marks, then look at them."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Report each suggestion at its first cell."""
        for block in facts.analysis.suggestions:
            if block.role not in NEEDED or facts.analysis.block(block.role):
                continue
            cells = ", ".join(map(str, block.cells))
            seems = block.reason or f"it seems to be in cell {cells}"
            message = f"No cell is marked {block.role}, but {seems}."
            yield at(block.place, self.code, "error", message, self.remedy)


def _head(facts: Facts, block: Block) -> Place:
    """Where the block's name is defined: the words ``def train`` or ``class Model``."""
    for index in block.statements:
        statement = facts.analysis.statements[index]
        node = statement.node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name == block.name:
            line = facts.notebook.cell(statement.place.cell).source.split("\n")[node.lineno - 1]
            start = line.find(block.name or "", node.col_offset)
            return Place(statement.place.cell, node.lineno, start, node.lineno, start + len(block.name or ""))
    return block.place


def _uncallable(facts: Facts, block: Block) -> NotebookBlocked | None:
    """Why the block's function or class cannot be called, if it cannot."""
    needed = [p.name for p in block.signature.params if not p.has_default] if block.signature else []
    if block.role not in NEEDED or block.name is None:
        return None
    if block.role == "model":
        if not needed or own_call(facts.analysis, block.name or ""):
            return None
        what = f"{block.name} needs {', '.join(needed)}, and the notebook builds it nowhere."
        hint = f"Give {needed[0]} a default value, or build the model in a cell: `net = {block.name}(...)`."
        return NotebookBlocked(what, hint=hint)
    try:
        arguments(facts.analysis, block, {kind: kind for kind in _GIVEN})
    except NotebookBlocked as blocked:
        return blocked
    return None


def _is_mark(line: str) -> bool:
    return line.replace(" ", "").lower().startswith("#|federate:")


def _first_line(cell: Cell) -> int:
    return next((n for n, line in enumerate(cell.source.split("\n"), start=1) if line.strip()), 1)


def _marks(cell: Cell) -> list[str]:
    """Every role that the cell's first line and tags name, as written."""
    if cell.kind != "code":
        return []
    first = cell.source.split("\n")[_first_line(cell) - 1]
    lines = [first.split(":", 1)[1]] if _is_mark(first) else []
    tags = [tag.split(":", 1)[1] for tag in cell.tags if tag.lower().replace(" ", "").startswith("federate:")]
    return [mark.strip().lower() for mark in (*lines, *tags)]
