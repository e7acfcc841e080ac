"""What the expressions of a slice stand for, as far as its text tells; runs nothing of it."""

from __future__ import annotations

import ast
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .facts import Facts
from .library import Library
from .texts import PERCENT, as_text, concatenated, filled
from .values import (
    ANY,
    DATA,
    UNKNOWN,
    Arguments,
    Class,
    Constant,
    Function,
    Items,
    Located,
    Many,
    Named,
    Outside,
    Row,
    Scope,
    Table,
    Text,
    Thing,
    Value,
    element,
    elements,
    from_data,
    joined,
    strings,
)

_STEPS, _TURNS = 50_000, 50
_MOST, _LARGEST = 10_000, 1e9  # elements of a list, numbers: larger ones are not followed
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}


class TooLong(Exception):
    """The text is longer than can be followed."""


class Expressions(ABC):
    """Gives values of expressions; what they read is noted in ``facts``."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._library = Library(facts, self.call)
        self._steps = 0

    @abstractmethod
    def call(self, function: Value, given: Arguments) -> Value | None:
        """The result of one of the notebook's own functions or classes; None where it is neither."""

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _STEPS:
            raise TooLong

    @contextmanager
    def _doubting(self, doubtful: bool = True) -> Iterator[None]:
        self._facts.doubt += doubtful
        try:
            yield
        finally:
            self._facts.doubt -= doubtful

    def value(self, node: ast.expr, scope: Scope) -> Value:
        """What ``node`` stands for; what it reads is noted."""
        self._step()
        act = getattr(self, f"_of_{type(node).__name__.lower()}", None)
        if act is not None:
            found: Value = act(node, scope)
            return found
        parts = [self.value(part, scope) for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        return DATA if any(from_data(part) for part in parts) else UNKNOWN

    def _of_constant(self, node: ast.Constant, scope: Scope) -> Value:
        return Text(node.value) if isinstance(node.value, str) else Constant(node.value)

    def _of_name(self, node: ast.Name, scope: Scope) -> Value:
        found = scope.find(node.id)
        return Outside(node.id) if found is UNKNOWN and node.id in self._library.builtins else found

    def _of_attribute(self, node: ast.Attribute, scope: Scope) -> Value:
        return self._attribute_of(self.value(node.value, scope), node.attr)

    def _attribute_of(self, owner: Value, name: str) -> Value:
        match owner:
            case Scope(names=names):
                return names.get(name, UNKNOWN)
            case Outside(name=outer):
                return Outside(f"{outer}.{name}")
            case Thing(kind=kind, names=names):
                found = names.get(name) or kind.find(name) or UNKNOWN
                return Function(found.node, found.scope, owner) if isinstance(found, Function) else found
            case Class():
                return owner.find(name) or UNKNOWN
        return self._library.attribute(owner, name)

    def _of_call(self, node: ast.Call, scope: Scope) -> Value:
        given: list[Value] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                given += elements(self.value(argument.value, scope)) or []
            else:
                given.append(self.value(argument, scope))
        named = {word.arg or "**": self.value(word.value, scope) for word in node.keywords}
        if isinstance(node.func, ast.Attribute):
            owner = self.value(node.func.value, scope)
            if not isinstance(owner, Scope | Outside | Thing | Class):
                return self._library.method(node, owner, node.func.attr, (given, named))
        return self._library.called(node, self.value(node.func, scope), (given, named))

    def _of_lambda(self, node: ast.Lambda, scope: Scope) -> Value:
        return Function(node, scope)

    def _of_tuple(self, node: ast.Tuple | ast.List | ast.Set, scope: Scope) -> Value:
        return Items([self.value(part, scope) for part in node.elts])

    _of_list = _of_set = _of_tuple

    def _of_dict(self, node: ast.Dict, scope: Scope) -> Value:
        keys = [self.value(key, scope) if key is not None else UNKNOWN for key in node.keys]
        values = [self.value(value, scope) for value in node.values]
        plain = [_plain(key) for key in keys]
        if any(key is None for key in plain):
            return UNKNOWN
        return Named({key: v for key, v in zip(plain, values, strict=True) if key is not None})

    def _of_binop(self, node: ast.BinOp, scope: Scope) -> Value:
        return self._binary(node.op, self.value(node.left, scope), self.value(node.right, scope))

    def _binary(self, sign: ast.operator, left: Value, right: Value) -> Value:
        result: Value
        match sign, left, right:
            case ast.Add(), Items(first), Items(second) if len(first) + len(second) <= _MOST:
                result = Items([*first, *second])
            case ast.Div(), Text(), _:
                result = left.joined(right if isinstance(right, Text) else Text(ANY))
            case ast.Add(), Text(), _:
                result = left.plus(right if isinstance(right, Text) else Text(ANY))
            case ast.Add(), _, Text():
                result = Text(ANY).plus(right)
            case ast.Mod(), Text(text), _:
                result = filled(text, PERCENT, elements(right) or [right])
            case _, Constant(int() | float() as a), Constant(int() | float() as b):
                result = _calculated(sign, a, b)
            case _:
                result = DATA if from_data(left) or from_data(right) else UNKNOWN
        return result

    def _of_joinedstr(self, node: ast.JoinedStr, scope: Scope) -> Value:
        inner = [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
        return concatenated([as_text(self.value(part, scope)) for part in inner])

    def _of_subscript(self, node: ast.Subscript, scope: Scope) -> Value:
        owner, key = self.value(node.value, scope), self.value(node.slice, scope)
        match owner:
            case Table() | Row() | Located():
                return self._library.taken(owner, key)
            case Named(items) if _plain(key) is not None:
                return items.get(_plain(key) or 0, UNKNOWN)
            case Items(items) if isinstance(key, Constant) and isinstance(key.value, int):
                return items[key.value] if -len(items) <= key.value < len(items) else UNKNOWN
            case Many() if isinstance(node.slice, ast.Slice):
                return owner
        return element(owner)

    def _of_slice(self, node: ast.Slice, scope: Scope) -> Value:
        return UNKNOWN

    def _of_ifexp(self, node: ast.IfExp, scope: Scope) -> Value:
        test = self.value(node.test, scope)
        if isinstance(test, Constant):
            return self.value(node.body if test.value else node.orelse, scope)
        with self._doubting(not from_data(test)):
            return joined([self.value(node.body, scope), self.value(node.orelse, scope)])

    def _of_compare(self, node: ast.Compare, scope: Scope) -> Value:
        left, *rest = [self.value(part, scope) for part in (node.left, *node.comparators)]
        if len(rest) == 1 and isinstance(left, Text) and left.whole:
            match node.ops[0], rest[0]:
                case ast.Eq(), Text() as other if other.whole:
                    return Constant(left == other)
                case ast.NotEq(), Text() as other if other.whole:
                    return Constant(left != other)
                case ast.In(), Items(items) if len(strings(rest[0])) == len(items):
                    return Constant(left in items)
        return DATA if any(from_data(part) for part in (left, *rest)) else UNKNOWN

    def _of_unaryop(self, node: ast.UnaryOp, scope: Scope) -> Value:
        match node.op, self.value(node.operand, scope):
            case ast.Not(), Constant(value):
                return Constant(not value)
            case ast.USub(), Constant(int() | float() as value):
                return Constant(-value)
            case _, value:
                return DATA if from_data(value) else UNKNOWN

    def _of_namedexpr(self, node: ast.NamedExpr, scope: Scope) -> Value:
        found = self.value(node.value, scope)
        self._bind(node.target, found, scope)
        return found

    def _of_await(self, node: ast.Await | ast.Starred, scope: Scope) -> Value:
        return self.value(node.value, scope)

    _of_starred = _of_await

    def _of_listcomp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: Scope) -> Value:
        inner = Scope({}, scope, scope.own)
        found, sure = self._comprehended(node.generators, inner, lambda: self.value(node.elt, inner))
        return Items(found) if sure else Many(joined(found or [UNKNOWN]))

    _of_setcomp = _of_generatorexp = _of_listcomp

    def _of_dictcomp(self, node: ast.DictComp, scope: Scope) -> Value:
        inner, keys = Scope({}, scope, scope.own), list[Value]()

        def pair() -> Value:
            keys.append(self.value(node.key, inner))
            return self.value(node.value, inner)

        found, sure = self._comprehended(node.generators, inner, pair)
        plain = [_plain(key) for key in keys]
        if not sure or None in plain:
            return UNKNOWN
        return Named({key: value for key, value in zip(plain, found, strict=True) if key is not None})

    def _comprehended(
        self, generators: Sequence[ast.comprehension], scope: Scope, one: Callable[[], Value]
    ) -> tuple[list[Value], bool]:
        """The value of each turn, and whether these are all that there are."""
        if not generators:
            return [one()], True
        source = self.value(generators[0].iter, scope)
        known = elements(source)
        sure = known is not None and len(known) <= _TURNS and not generators[0].ifs
        found: list[Value] = []
        for item in self._turns(source):
            self._bind(generators[0].target, item, scope)
            for test in generators[0].ifs:
                self.value(test, scope)
                self._narrow(test, scope)
            inner, all_known = self._comprehended(generators[1:], scope, one)
            found, sure = [*found, *inner], sure and all_known
        return found, sure

    def _bind(self, target: ast.expr, value: Value, scope: Scope) -> None:
        match target:
            case ast.Name(id=name):
                scope.names[name] = self._facts.names[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                known = elements(value) or []
                same = len(known) == len(parts) and not any(isinstance(p, ast.Starred) for p in parts)
                for index, part in enumerate(parts):
                    self._bind(part, known[index] if same else element(value), scope)
            case ast.Starred(value=inner):
                self._bind(inner, Many(element(value)), scope)
            case ast.Attribute(value=owner, attr=name):
                self._set(self.value(owner, scope), name, value)
            case ast.Subscript(value=owner, slice=key):
                self._set_item(self.value(owner, scope), self.value(key, scope), value)

    def _set(self, owner: Value, name: str, value: Value) -> None:
        if isinstance(owner, Thing | Scope):
            owner.names[name] = value
        if isinstance(owner, Table) and name == "columns":
            owner.named = False

    def _set_item(self, owner: Value, key: Value, value: Value) -> None:
        if isinstance(owner, Table):
            owner.added.update(strings(key))
        elif isinstance(owner, Named) and isinstance(key, Text):
            owner.items[key.text] = value

    def _narrow(self, test: ast.expr, scope: Scope) -> None:
        """``if name.endswith(".png")``: names have that ending where the test holds."""
        match test:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="endswith"), args=[ending]):
                text, ends = scope.find(name), strings(self.value(ending, scope))
                if isinstance(text, Text) and text.text.endswith(ANY) and len(ends) == 1:
                    scope.names[name] = Text(text.text + ends[0], text.below)

    def _turns(self, value: Value) -> list[Value]:
        """One value for each turn of a loop; a single one that stands for all where they are not known."""
        known = elements(value)
        return known if known is not None and len(known) <= _TURNS else [element(value)]


def _calculated(sign: ast.operator, left: float, right: float) -> Value:
    act = _ARITHMETIC.get(type(sign))
    if act is None or max(abs(left), abs(right)) > _LARGEST:
        return UNKNOWN
    with suppress(ArithmeticError):
        return Constant(act(left, right))
    return UNKNOWN


def _plain(value: Value) -> str | int | None:
    if isinstance(value, Text) and value.whole:
        return value.text
    return value.value if isinstance(value, Constant) and isinstance(value.value, int) else None
