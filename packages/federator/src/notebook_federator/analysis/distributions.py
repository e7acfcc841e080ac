"""Which distributions the imports come from: the author's environment first, then well-known names."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from ..notebook import Notebook
from .habits import FLOWER
from .installed import distributions_of, normalised, version_of
from .parsing import call_name, place_of
from .shapes import Import, Place, Requirement, Statement

KNOWN_NAMES: Mapping[str, str] = {
    "attr": "attrs",
    "Bio": "biopython",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "PyMuPDF",
    "flwr": "flwr",
    "ignite": "pytorch-ignite",
    "imblearn": "imbalanced-learn",
    "mpl_toolkits": "matplotlib",
    "openslide": "openslide-python",
    "PIL": "Pillow",
    "pl_bolts": "lightning-bolts",
    "pytorch_lightning": "pytorch-lightning",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "SimpleITK": "SimpleITK",
    "tensorflow_addons": "tensorflow-addons",
    "yaml": "PyYAML",
}
CONDA_NAMES: Mapping[str, str] = {"pytorch": "torch", "opencv": "opencv-python-headless"}
NOT_PYTHON = frozenset(
    {"cudatoolkit", "cudnn", "cpuonly", "pytorch-cuda", "python", "pip", "conda", "nodejs"}
)
_REQUIREMENT = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<extra>\[[^\]]*\])?\s*(?P<spec>[=<>!~].*)?$"
)
_INSTALL = re.compile(
    r"(?:^|[\s!%])(?:(?:\S*python[\w.]*|\{sys\.executable\}|py)\s+-m\s+pip|(?:uv\s+)?pip[\d.]*|conda|mamba)\s+install\s+(?P<rest>.*)"
)
_VALUED = {
    "-r", "--requirement", "-c", "--constraint", "-f", "--find-links", "-i", "--index-url",
    "--extra-index-url", "-e", "--editable",
    "-t", "--target", "--channel", "-n", "--name", "-p", "--prefix", "--trusted-host",
}  # fmt: skip


def requirements_of(
    notebook: Notebook, statements: Sequence[Statement], imports: Iterable[Import], local: Collection[str]
) -> tuple[Requirement, ...]:
    """One requirement for each distribution that the imports or pip lines name, sorted by name.

    A pin on a pip line wins over the version installed here. ``local`` modules need none; neither does
    Flower, which no slice holds.
    """
    asked = pip_lines(notebook, statements)
    found: dict[str, Requirement] = {}
    for item in imports:
        top = item.module.split(".")[0]
        if item.level or not top or top in sys.stdlib_module_names or top in local:
            continue
        _add(found, resolve(item.module, item.place, asked))
    for key, requirement in asked.items():
        found.setdefault(key, requirement)
    return tuple(found[key] for key in sorted(found) if key not in FLOWER)


def resolve(module: str, place: Place, asked: Mapping[str, Requirement]) -> Requirement:
    """The distribution that serves ``module``; ``asked`` are pip lines by normalised name."""
    top = module.partition(".")[0]
    installed = _installed(module)
    name = installed or KNOWN_NAMES.get(top, top)
    for candidate in (name, top, KNOWN_NAMES.get(top, top)):
        line = asked.get(normalised(candidate))
        if line is not None and (line.specifier or not installed):
            return Requirement(line.distribution, line.specifier, (top,), "pip line", line.place)
    if installed:
        return Requirement(installed, _version(installed), (top,), "environment", place)
    source: Literal["known name", "same name"] = "known name" if top in KNOWN_NAMES else "same name"
    return Requirement(name, "", (top,), source, place)


def foreign_modules(requirements: Iterable[Requirement]) -> frozenset[str]:
    """Top-level modules that nothing known here provides."""
    return frozenset(m for r in requirements if r.source == "same name" for m in r.modules)


def pip_lines(notebook: Notebook, statements: Sequence[Statement]) -> dict[str, Requirement]:
    """What ``!pip install``, ``%pip``, ``%conda`` and subprocess calls ask for, by normalised name."""
    found: dict[str, Requirement] = {}
    for text, place in [*_magic_lines(notebook), *_subprocess_lines(statements)]:
        for word in _install_words(text):
            requirement = _requirement(CONDA_NAMES.get(word, word), place)
            if requirement and requirement.distribution not in NOT_PYTHON:
                found[normalised(requirement.distribution)] = requirement
    return found


def _magic_lines(notebook: Notebook) -> list[tuple[str, Place]]:
    lines = []
    for cell in notebook.cells:
        for magic in cell.magics:
            for offset, text in enumerate(magic.text.split("\n")):
                lines.append(
                    (text, Place(cell.number, magic.line + offset, 0, magic.line + offset, len(text)))
                )
    return lines


def _subprocess_lines(statements: Sequence[Statement]) -> list[tuple[str, Place]]:
    lines = []
    for statement in statements:
        for node in ast.walk(statement.node):
            if isinstance(node, ast.Call) and re.match(r"(subprocess|os)\.", call_name(node)):
                words = [
                    n.value
                    for n in ast.walk(node)
                    if isinstance(n, ast.Constant) and isinstance(n.value, str)
                ]
                lines.append((" ".join(words).replace("-m pip", "pip"), place_of(node, statement.place.cell)))
    return lines


def _install_words(text: str) -> list[str]:
    match = _INSTALL.search(text)
    if match is None:
        return []
    try:
        words = shlex.split(re.split(r"&&|;|\|", match["rest"])[0], comments=True)
    except ValueError:
        words = match["rest"].split()
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word.startswith("-"):
            skip = not skip and (word in _VALUED or (word == "-c"))
            continue
        kept.append(word)
    return kept


def _requirement(word: str, place: Place) -> Requirement | None:
    if word.startswith("git+"):
        url, _, egg = word.partition("#egg=")
        name = egg or url.removeprefix("git+").partition("@")[0].rpartition("/")[2]
        return Requirement(name.removesuffix(".git"), f" @ {url}", (), "pip line", place)
    match = _REQUIREMENT.match(word)
    if match is None:
        return None
    spec = re.sub(r"^=(?!=)(.*)$", r"==\1.*", (match["spec"] or "").replace(" ", "")) or _version(
        match["name"]
    )
    return Requirement(match["name"] + (match["extra"] or ""), spec, (), "pip line", place)


def _version(distribution: str) -> str:
    """The installed version as a pin, without its build tag (``+cpu``); empty where not installed."""
    version = version_of(distribution).partition("+")[0]
    return f"=={version}" if version else ""


def _add(found: dict[str, Requirement], item: Requirement) -> None:
    key = normalised(item.distribution.split("[")[0])
    old = found.get(key)
    modules = tuple(sorted({*(old.modules if old else ()), *item.modules}))
    first = old or item
    found[key] = Requirement(first.distribution, first.specifier, modules, first.source, first.place)


def _installed(module: str) -> str | None:
    top = module.partition(".")[0]
    names: Sequence[str] = distributions_of(top)
    if len(names) > 1:
        close = [
            n
            for n in names
            if normalised(n) in (normalised(top), normalised(module), normalised(KNOWN_NAMES.get(top, top)))
        ]
        names = close or sorted(names, key=lambda name: (len(name), name))
    return names[0] if names else None
