"""Rules about what ``test`` returns: two numbers or named numbers, in the right order and unit."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .facts import Facts, written
from .returned import Kind, Locals, kind, own_nodes, read_locals
from .shapes import Finding, Level, at

_BAD: dict[Kind, str] = {
    "list": "a list, one value for each sample or batch",
    "tensor": "an array of many values",
    "text": "text",
    "nothing": "nothing",
}


class UnreleasableReturn:
    """The test block returns something that may not leave a site."""

    code = "NF112"
    title = "Test returns something other than scalars"
    levels: tuple[Level, ...] = ("error",)
    why = (
        "Only declared scalars may leave a site. Predictions and values per sample tell about single "
        "patients, and the site refuses to send them."
    )
    example = "def test(net, testloader):\n    ...\n    return predictions"
    remedy = "Return (loss, accuracy), or a dict of numbers such as {'loss': loss, 'accuracy': accuracy}."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at every return of the test function."""
        found = facts.function("test")
        if found is None or "test" in facts.unfilled:
            return
        statement, function = found
        known = read_locals(function)
        returns = [node for node in own_nodes(function) if isinstance(node, ast.Return) and node.value]
        if not returns:
            message = f"{function.name} returns nothing, so no site can say how good the model is."
            yield at(facts.place(statement, function.args), self.code, "error", message, self.remedy)
        for node in returns:
            for part, problem in _problems(node, known):
                message = f"{function.name} returns {problem}."
                yield at(facts.place(statement, part), self.code, "error", message, self.remedy)


class OddMetric:
    """Loss and accuracy are swapped, or accuracy is in percent."""

    code = "NF113"
    title = "Odd metric"
    levels: tuple[Level, ...] = ("warning",)
    why = "The first value is read as the loss, the second as the accuracy between 0 and 1."
    example = "return accuracy, loss"
    remedy = "Return (loss, accuracy), with the accuracy as a fraction."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at returned pairs and dicts of the test function."""
        found = facts.function("test")
        if found is None:
            return
        statement, function = found
        known = read_locals(function)
        for node in own_nodes(function):
            if not isinstance(node, ast.Return) or node.value is None:
                continue
            pairs = _named(known.value(node.value))
            if [name for name, _ in pairs] == ["accuracy", "loss"] and not _is_dict(known.value(node.value)):
                message = "The accuracy comes first and the loss second: they will be taken for each other."
                place = facts.place(statement, node.value)
                yield at(place, self.code, "warning", message, "Return (loss, accuracy).")
            for name, part in pairs:
                if name == "accuracy" and _percent(known.value(part)):
                    message = "The accuracy looks like a percentage; it is read as a fraction of 1."
                    place = facts.place(statement, part)
                    yield at(place, self.code, "warning", message, "Leave out the factor 100.")


def _problems(node: ast.Return, known: Locals) -> Iterator[tuple[ast.AST, str]]:
    """What is wrong with one return, each with the part that is."""
    assert node.value is not None
    value = known.value(node.value)
    if isinstance(value, ast.Tuple):
        if len(value.elts) != 2:
            yield node.value, f"{len(value.elts)} values where (loss, accuracy) or a dict is expected"
        yield from _elements(node.value, value.elts, known)
    elif isinstance(value, ast.Dict):
        yield from _elements(node.value, value.values, known)
    elif isinstance(value, ast.List):
        yield node.value, "a list where (loss, accuracy) or a dict is expected"
    elif kind(node.value, known) == "number":
        yield node.value, "one number where (loss, accuracy) or a dict is expected"
    elif kind(node.value, known) in _BAD:
        yield node.value, _BAD[kind(node.value, known)]


def _elements(returned: ast.expr, parts: list[ast.expr], known: Locals) -> Iterator[tuple[ast.AST, str]]:
    direct = isinstance(returned, ast.Tuple | ast.Dict)
    for part in parts:
        if kind(part, known) in _BAD:
            yield part if direct else returned, f"{written(part)}, which is {_BAD[kind(part, known)]}"


def _named(value: ast.expr) -> list[tuple[str, ast.expr]]:
    """``loss`` or ``accuracy`` (or empty) for each returned part, by its key or name."""
    if isinstance(value, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else "" for key in value.keys]
        return [(_metric(str(key)), part) for key, part in zip(keys, value.values, strict=True)]
    parts = value.elts if isinstance(value, ast.Tuple) else []
    names = [_metric(ast.unparse(part)) for part in parts]
    if len(names) == 2 and names[1] == "" and names[0] != "accuracy":
        names[1] = "accuracy"
    return list(zip(names, parts, strict=True))


def _metric(name: str) -> str:
    words = name.lower()
    return "accuracy" if "acc" in words and "loss" not in words else "loss" if "loss" in words else ""


def _is_dict(value: ast.expr) -> bool:
    return isinstance(value, ast.Dict)


def _percent(value: ast.expr) -> bool:
    return any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Mult)
        and any(isinstance(side, ast.Constant) and side.value == 100 for side in (node.left, node.right))
        for node in ast.walk(value)
    )
