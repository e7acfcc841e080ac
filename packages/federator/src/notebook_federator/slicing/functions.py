"""The function form: calls of ``load_data``, ``Model``, ``train`` and ``test`` for each phase."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from nbfed_site.contracts import Phase

from ..analysis import Analysis, Block, Statement
from ..analysis.arguments import arguments, own_call
from ..analysis.flow import Need

TEST_RESULT = "nbfed_test_result"


@dataclass(slots=True)
class Cast:
    """Names that play a part in the slice, as they are found; None where there is none.

    ``train_arrays``, ``test_arrays``: what ``train`` or ``test`` is to be made of, where it is no name of the
    notebook's own.
    """

    model: str | None = None
    train: str | None = None
    val: str | None = None
    test: str | None = None
    train_arrays: tuple[str, ...] = ()
    test_arrays: tuple[str, ...] = ()
    num_examples: str | None = None
    test_result: str | None = None
    metrics: tuple[str, ...] = ()

    def given(self, epochs: str, data_path: str) -> dict[str, str]:
        """Source text for each kind of argument; without a validation set, the test set stands in."""
        found = {"net": self.model, "train": self.train, "val": self.val or self.test, "test": self.test}
        return {k: v for k, v in found.items() if v} | {"epochs": epochs, "data_path": data_path}


@dataclass(slots=True)
class Calls:
    """Generated lines by phase, before or after its statements, what they need, and what they stand for."""

    before: dict[Phase, list[str]] = field(default_factory=dict)
    after: dict[Phase, list[str]] = field(default_factory=dict)
    needs: list[Need] = field(default_factory=list)
    replaced: set[int] = field(default_factory=set)
    kept: dict[int, Phase] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)


def call_data(analysis: Analysis, block: Block, data_path: str, cast: Cast, calls: Calls) -> None:
    """``trainloader, ... = load_data(data_path)``; under the notebook's own names where it unpacks."""
    own = own_call(analysis, block.name or "")
    targets = _own_targets(own[0]) if own else []
    elements = _elements(block, targets)
    default = {
        "train": "trainloader",
        "val": "valloader",
        "test": "testloader",
        "num_examples": "num_examples",
    }
    names = []
    for position, kind in enumerate(elements):
        name = targets[position] if position < len(targets) else default.get(kind, f"nbfed_extra_{position}")
        names.append(name)
        if kind in default:
            setattr(cast, kind, name)
    if own and targets:
        calls.replaced.add(own[0].index)
    found = arguments(analysis, block, cast.given("epochs", data_path))
    calls.needs += [Need(name, len(analysis.statements), "the data block") for name in found.reads]
    calls.made |= dict.fromkeys(names, block.name or "")
    calls.before["data"] = [f"{', '.join(names)} = {block.name}({found.text})"]


def call_model(analysis: Analysis, block: Block, cast: Cast, calls: Calls) -> None:
    """``net = Model()``, or the notebook's own statement where it moves the model to a device."""
    own = _own_model(analysis, block)
    if own is not None:
        cast.model = next(iter(own.defines))
        calls.kept[own.index] = "model"
        return
    cast.model = "net"
    calls.made["net"] = block.name or ""
    calls.before["model"] = [f"net = {block.name}()"]


def call_train(analysis: Analysis, block: Block, epochs: str, cast: Cast, calls: Calls) -> None:
    """``train(net, trainloader, valloader, epochs)``."""
    found = arguments(analysis, block, cast.given(epochs, "data_path"))
    calls.needs += [Need(name, len(analysis.statements), "the train block") for name in found.reads]
    calls.after["train"] = [f"{block.name}({found.text})"]


def call_test(analysis: Analysis, block: Block, cast: Cast, calls: Calls) -> None:
    """``nbfed_test_result = test(net, testloader)``."""
    cast.test_result = TEST_RESULT
    found = arguments(analysis, block, cast.given("epochs", "data_path"))
    calls.needs += [Need(name, len(analysis.statements), "the test block") for name in found.reads]
    calls.after["test"] = [f"{TEST_RESULT} = {block.name}({found.text})"]


def _own_targets(statement: Statement) -> list[str]:
    match statement.node:
        case ast.Assign(targets=[ast.Tuple(elts=elements)], value=ast.Call()):
            names = [element.id for element in elements if isinstance(element, ast.Name)]
            return names if len(names) == len(elements) and len(set(names)) == len(names) else []
    return []


def _elements(block: Block, targets: Sequence[str]) -> list[str]:
    """The kind of each element that ``load_data`` returns; the template's four where unknown."""
    returns = block.signature.returns if block.signature else ()
    tuples = [parts for parts in returns if len(parts) > 1 and not any(p.startswith("*") for p in parts)]
    texts = list(tuples[-1]) if tuples else list(targets)
    if not texts:
        return ["train", "val", "test", "num_examples"]
    kinds = [_kind(text) for text in texts]
    sure = [kind for kind in kinds if kind]
    if len(set(sure)) == len(sure) == len(kinds):
        return kinds
    if len(targets) == len(texts):
        named = [_kind(text) for text in targets]
        if all(named) and len(set(named)) == len(named):
            return named
    order = {2: ["train", "test"], 3: ["train", "val", "test"]}.get(len(texts), ["train", "val", "test"])
    if len(texts) == 3 and kinds[-1] == "num_examples":
        order = ["train", "test", "num_examples"]
    elif len(texts) > 3:
        order = ["train", "val", "test", "num_examples"]
    return [*order, *("" for _ in texts[len(order) :])]


def _kind(text: str) -> str:
    if re.match(r"\{|dict\(|\(?len\(|num|n_|sizes?|counts?", text) or "num_examples" in text:
        return "num_examples"
    for kind, pattern in (("val", r"val|dev(?!ice)"), ("test", r"test"), ("train", r"train")):
        if re.search(pattern, text, re.IGNORECASE):
            return kind
    return ""


def _own_model(analysis: Analysis, block: Block) -> Statement | None:
    """The last ``name = Model(...)`` with plain methods after it, if it builds as the contract does."""
    required = [p for p in (block.signature.params if block.signature else ()) if not p.has_default]
    for statement in reversed(analysis.statements):
        match statement.node:
            case ast.Assign(targets=[ast.Name()], value=ast.Call() as value):
                pass
            case _:
                continue
        inner = value
        while isinstance(inner.func, ast.Attribute) and isinstance(inner.func.value, ast.Call):
            inner = inner.func.value
        named = isinstance(inner.func, ast.Name) and inner.func.id == block.name
        plain = not inner.args and not inner.keywords
        if named and statement.place.cell not in analysis.skipped and (plain or required):
            return statement
    return None
