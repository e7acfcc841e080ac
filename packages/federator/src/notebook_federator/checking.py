"""What `nbfed check` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import plain

from . import findings
from .notebook import Role, write_marks

if TYPE_CHECKING:
    from .api import Checked
    from .drafting import Draft

ROLES: tuple[Role, ...] = ("data", "model", "train", "test", "aggregate")


def apply_fix(checked: Checked, notebook: Path) -> Mapping[int, Role]:
    """Write the suggested marks into the notebook; returns them by cell number."""
    marks = findings.fix(checked.notebook, checked.analysis)
    if marks:
        write_marks(notebook, marks)
    return marks


def text(checked: Checked, notebook: Path, *, names: bool, written: Mapping[int, Role]) -> str:
    """Blocks, needs and findings, for people."""
    lines = [f"cell {cell}: marked as {role}" for cell, role in sorted(written.items())]
    lines += [*_blocks(checked), *_needs(checked), ""]
    if draft := checked.draft:
        lines += [*_contract(draft), ""]
    if checked.findings:
        lines += [findings.render(checked.findings, checked.notebook)]
    if names and checked.slice:
        lines += [*_names(checked), ""]
    return "\n".join([*lines, _verdict(checked, notebook)])


def _blocks(checked: Checked) -> Iterator[str]:
    for role in ROLES:
        block = checked.analysis.block(role)
        if block is None:
            yield f"{role:<10} not found"
        else:
            cells = ", ".join(map(str, block.cells))
            yield f"{role:<10} {block.name or 'cells':<12} cell {cells} ({block.rule})"


def _needs(checked: Checked) -> Iterator[str]:
    requirements = ", ".join(_requirements(checked))
    yield f"{'needs':<10} {requirements or 'nothing but Python'}"
    if checked.analysis.modules:
        yield f"{'carries':<10} " + ", ".join(module.path for module in checked.analysis.modules)
    if checked.slice:
        cut = checked.slice
        lines = cut.text.count("\n")
        yield f"{'slice':<10} {lines} lines; {len(cut.carried)} names carried, {len(cut.dropped)} dropped"


def _requirements(checked: Checked) -> tuple[str, ...]:
    """What the slice needs; of a notebook that cannot be cut, what the whole notebook names."""
    if checked.slice:
        return checked.slice.manifest.requirements
    return tuple(map(str, checked.analysis.requirements))


def _contract(draft: Draft) -> Iterator[str]:
    """What each site's data must look like, as the code tells it."""
    contract = draft.contract
    counts = [f"{count} {split} samples" for split, count in contract.minimum.items()]
    counts += [f"{contract.minimum_per_class} of each class"] if contract.minimum_per_class else []
    asked = {
        "files": ", ".join(contract.files),
        "columns": "; ".join(f"{name}: {', '.join(names)}" for name, names in contract.columns.items()),
        "images": "{} x {} pixels".format(*contract.image_size) if contract.image_size else "",
        "labels": ", ".join(contract.labels),
        "at least": ", ".join(counts),
    }
    yield "Each site's data needs (a draft, from the code; federation.toml will hold it as [data]):"
    yield from (f"  {what:<8} {value}" for what, value in asked.items() if value)
    yield from (f"  note     {note}" for note in draft.notes)


def _names(checked: Checked) -> Iterator[str]:
    assert checked.slice is not None
    for item in checked.slice.carried:
        yield f"carried  {item.name:<24} cell {item.cell}, line {item.line}: {item.why}"
    for gone in checked.slice.dropped:
        yield f"dropped  {gone.name:<24} cell {gone.cell}, line {gone.line}"


def _verdict(checked: Checked, notebook: Path) -> str:
    errors = sum(finding.level == "error" for finding in checked.findings)
    if errors:
        return f"{notebook} cannot be federated yet: {errors} to mend."
    return f"{notebook} can be federated. Next: nbfed run {notebook} --sites 3, or --site NAME=DIR ..."


def data(checked: Checked, written: Mapping[int, Role]) -> dict[str, Any]:
    """The same for machines."""
    analysis, cut, draft = checked.analysis, checked.slice, checked.draft
    return {
        "notebook": checked.notebook.name,
        "digest": checked.notebook.digest,
        "blocks": {
            block.role: {"name": block.name, "cells": list(block.cells), "rule": block.rule}
            for block in analysis.blocks
        },
        "requirements": list(_requirements(checked)),
        "modules": [module.path for module in analysis.modules],
        "data_contract": draft and plain(draft.contract),
        "data_contract_notes": list(draft.notes) if draft else [],
        "findings": findings.to_json(checked.findings),
        "marked": {str(cell): role for cell, role in written.items()},
        "slice": cut
        and {
            "digest": cut.manifest.slice_digest,
            "carried": [[item.name, item.cell, item.line, item.why] for item in cut.carried],
            "dropped": [[item.name, item.cell, item.line] for item in cut.dropped],
        },
    }
