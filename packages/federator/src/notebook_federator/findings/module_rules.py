"""Rules about imports: local helper modules, and distributions with their versions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..analysis import Import, Requirement
from ..notebook import Magic
from .facts import Facts
from .shapes import Finding, Level, at

_WRITEFILE = re.compile(r"^%%(?:writefile|file)\s+(?:-a\s+)?(\S+)")


class LocalHelper:
    """A module that is no installed distribution."""

    code = "NF106"
    title = "Local helper module"
    levels: tuple[Level, ...] = ("error", "hint")
    why = (
        "A helper module beside the notebook is carried along with the slice. One that is nowhere to be "
        "found cannot be."
    )
    example = "import histology_helpers"
    remedy = "Put the module's file beside the notebook, or install its distribution here."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at the imports that the slice would carry."""
        local = {module.module.split(".")[0] for module in facts.analysis.modules}
        guessed = {
            name
            for item in facts.analysis.requirements
            if item.source == "same name"
            for name in item.modules
        }
        seen = {module_of(written_file(magic)) for cell in facts.notebook.cells for magic in cell.magics}
        for imported in _carried(facts):
            name = imported.module.split(".")[0]
            if (name and name in seen) or imported.optional:
                continue
            seen.add(name)
            if imported.level or name in guessed - local:
                shown = "." * imported.level + imported.module if imported.level else name
                message = f"{shown} is neither installed here nor a file beside the notebook."
                yield at(imported.place, self.code, "error", message, self._step(imported))
            elif name in local:
                message = f"The helper module {name} stands beside the notebook and is carried along."
                step = "Nothing to do; look through it as you would through the notebook."
                yield at(imported.place, self.code, "hint", message, step)

    def _step(self, imported: Import) -> str:
        if imported.level:
            return "Notebooks have no package around them: import the module by its own name."
        name = imported.module.split(".")[0]
        return f"Put {name}.py beside the notebook, install its distribution here, or add {_pip(name)}."


class UnknownVersion:
    """A distribution whose version nothing tells."""

    code = "NF111"
    title = "Version unknown"
    levels: tuple[Level, ...] = ("warning",)
    why = (
        "Sites run the versions that the author ran. A distribution that is not installed here, and that no "
        "pip line pins, is locked at its newest version, which may behave differently."
    )
    example = "import cv2   # opencv-python is not installed here"
    remedy = "Run `nbfed check` in the notebook's own environment, or add `%pip install NAME==VERSION`."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at the requirements of the imports that the slice would carry."""
        carried = {imported.module.split(".")[0] for imported in _carried(facts)}
        for item in facts.analysis.requirements:
            if item.source == "same name" or item.specifier or not carried & _tops(item):
                continue
            message = f"The version of {item.distribution} is not known: it is not installed here."
            step = f"Run `nbfed check` in the notebook's own environment, or add {_pip(item.distribution)}."
            yield at(item.place, self.code, "warning", message, step)


def written_file(magic: Magic) -> str:
    """The file that a ``%%writefile`` cell writes, or empty."""
    match = _WRITEFILE.match(magic.text)
    return match[1] if match else ""


def module_of(file: str) -> str:
    """The module that a Python file is."""
    return file.removesuffix(".py").split("/")[-1]


def _pip(name: str) -> str:
    return f"`%pip install {name}==VERSION`"


def _carried(facts: Facts) -> Iterator[Import]:
    for statement in facts.carried:
        yield from statement.imports


def _tops(item: Requirement) -> set[str]:
    return {module.split(".")[0] for module in item.modules}
