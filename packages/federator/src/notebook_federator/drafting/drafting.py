"""The draft of a data contract, from the slice's text alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from nbfed_site.contracts import DataContract, Manifest, Parameter

from ..slicing import Slice
from .facts import Facts
from .following import Follower, TooLong
from .labels import classes_of
from .values import UNKNOWN, Scope, Text, Value, elements

FEWEST = 10
"""Samples asked for in a training and a test set, where nothing else is said."""

_SCALES = re.compile(
    r"resiz|crop|thumbnail|interpolate|adaptive|global(average|max)|pad(ding)?_?(to|if)|target_size", re.I
)
_BROUGHT = re.compile(
    r"^(load_(breast_cancer|digits|iris|wine|diabetes|linnerud)|fetch_\w+|make_(classification|blobs|moons|circles))$"
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A contract as far as the code tells it, and sentences for the author about the rest."""

    contract: DataContract
    notes: tuple[str, ...]


def draft_contract(cut: Slice, min_examples: int = FEWEST) -> Draft:
    """What a notebook expects of a site's data; nothing of it is run.

    Args:
        min_examples: fewest samples that the release policy lets an update rest on.
    """
    facts = _followed(cut)
    words = set(_words(ast.parse(cut.text)))
    labels, why = classes_of(facts.names, facts.outputs, words)
    counted = _counted(cut.manifest, facts, words)
    if not counted:
        labels, why = (), "A site cannot count its samples here: let load_data return DataLoaders, or (X, y)."
    size = (
        next(iter(facts.shapes)) if len(facts.shapes) == 1 and facts.images and not _scales(words) else None
    )
    contract = DataContract(
        files=tuple(facts.files),
        columns=_columns(facts),
        labels=labels,
        image_size=size,
        minimum=dict.fromkeys(counted, FEWEST) | ({"train": max(FEWEST, min_examples)} if counted else {}),
        minimum_per_class=1,
    )
    notes = [*_notes(cut.manifest, facts, contract, words), *([why] if why else [])]
    return Draft(contract, tuple(notes))


def _followed(cut: Slice) -> Facts:
    """What the slice's setup, data and model sections read and need."""

    def place(line: int) -> str:
        found = cut.manifest.locate(line)
        return f"cell {found[0]}, line {found[1]}" if found else f"slice.py, line {line}"

    facts = Facts(place)
    folders = {item.name: _folder(item) for item in cut.manifest.parameters if item.meaning == "data_path"}
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): source
               for path, source in cut.modules.items() if path.endswith(".py")}  # fmt: skip
    follower = Follower(facts, modules)
    wanted = [part for part in cut.manifest.sections if part.phase in ("setup", "data", "model")]
    body = [
        statement
        for statement in ast.parse(cut.text).body
        if any(part.first_line <= statement.lineno <= part.last_line for part in wanted)
        and not _sets(statement, folders)
    ]
    with suppress(TooLong, RecursionError):
        follower.follow(body, Scope(dict(folders)))
    return facts


def _folder(parameter: Parameter) -> Value:
    return Text("/" if str(parameter.default).endswith("/") else "", below=True)


def _sets(statement: ast.stmt, names: Collection[str]) -> bool:
    """Whether ``statement`` is the default of a parameter, in whose place the site puts its own."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant()):
            return name in names
    return False


def _words(tree: ast.AST) -> Iterator[str]:
    """All names and short texts in ``tree``."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.Name(id=word)
                | ast.Attribute(attr=word)
                | ast.alias(name=word)
                | ast.keyword(arg=str(word))
            ):
                yield word
            case ast.Constant(value=str(text)) if text.isidentifier():
                yield text


def _counted(manifest: Manifest, facts: Facts, words: Collection[str]) -> tuple[str, ...]:
    """The splits whose samples a site can count: of DataLoaders, or of arrays such as ``(X, y)``."""
    loaders = {"train": manifest.names.train_loader, "test": manifest.names.test_loader}
    held = {split: elements(facts.names.get(name, UNKNOWN)) or () for split, name in loaders.items() if name}
    return tuple(split for split, parts in held.items() if "DataLoader" in words or 1 <= len(parts) <= 3)


def _columns(facts: Facts) -> dict[str, tuple[str, ...]]:
    """Columns by pattern, of tables whose first line names them."""
    found: dict[str, dict[str, None]] = {}
    for table in facts.tables:
        if table.pattern in facts.files and table.named and table.columns:
            found.setdefault(table.pattern, {}).update(table.columns)
    return {pattern: tuple(names) for pattern, names in found.items()}


def _scales(words: Collection[str]) -> bool:
    return any(_SCALES.search(word) for word in words)


def _notes(manifest: Manifest, facts: Facts, contract: DataContract, words: Collection[str]) -> Iterator[str]:
    folder = next((item.name for item in manifest.parameters if item.meaning == "data_path"), None)
    brought = ", ".join(sorted(word for word in words if _BROUGHT.match(word)))
    if brought and not contract.files:
        yield f"The notebook brings its data along ({brought}): no files are asked for."
    elif folder is None:
        yield "The notebook reads no data folder: no files are asked for."
    elif not (contract.files or facts.opaque or facts.doubtful):
        yield f"The code reads no file below {folder} that could be told; write files by hand if it does."
    for pattern, place in facts.doubtful.items():
        if pattern not in contract.files:
            yield f"{pattern} is read under a condition only ({place}): it is not asked for."
    for call, place in facts.opaque.items():
        yield f"{call} ({place}) reads the data folder in its own way; write files by hand."
    untold = {table.pattern for table in facts.tables} & set(contract.files) - contract.columns.keys()
    for pattern in sorted(untold):
        yield f"The columns of {pattern} cannot be told from the code; write columns by hand."
    if facts.images and contract.image_size is None:
        scaled = "The code scales images" if _scales(words) else "Image sizes cannot be told from the code"
        yield f"{scaled}: any size is taken."
