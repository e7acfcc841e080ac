"""Random notebooks of interdependent cells that run without error, for property-based tests."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

Draw = Callable[..., object]

BLOCKS = {
    "load_data": "data_path=None",
    "Model": "",
    "train": "net, trainloader, valloader, epochs",
    "test": "net, testloader",
}


class Writer:
    """Draws statements one by one, and knows which names of which kind they have defined."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.count = 0
        self.names: dict[str, list[str]] = {
            kind: []
            for kind in ("int", "list", "dict", "function", "changer", "closure", "maker", "class", "object")
        }

    def new(self, kind: str) -> str:
        self.count += 1
        name = f"{kind[:2]}{self.count}"
        self.names[kind].append(name)
        return name

    def one(self, kind: str) -> str:
        return str(self.draw(st.sampled_from(self.names[kind])))

    def bound(self, kind: str) -> str:
        """A fresh name, or an old one to bind anew."""
        if self.names[kind] and self.draw(st.integers(0, 3)) == 0:
            return self.one(kind)
        return self.new(kind)

    def number(self) -> str:
        if self.names["int"] and self.draw(st.booleans()):
            return self.one("int")
        return str(self.draw(st.integers(0, 9)))

    def has(self, *kinds: str) -> bool:
        return all(self.names[kind] for kind in kinds)

    def statement(self) -> str:
        able = [make for make, kinds in STATEMENTS if self.has(*kinds)]
        return str(self.draw(st.sampled_from(able))(self))


def _int(w: Writer) -> str:
    value = f"{w.number()} + {w.number()} * 2"
    return f"{w.bound('int')} = {value}"


def _list(w: Writer) -> str:
    value = f"[{w.number()}, {w.number()}]"
    return f"{w.bound('list')} = {value}"


def _comprehension(w: Writer) -> str:
    value = f"[v + {w.number()} for v in {w.one('list')} if v != {w.number()}]"
    return f"{w.bound('list')} = {value}"


def _alias(w: Writer) -> str:
    kind = str(w.draw(st.sampled_from(["list", "dict", "object", "function", "closure"])))
    if not w.has(kind):
        return "pass"
    old = w.one(kind)
    return f"{w.bound(kind)} = {old}"


def _either(w: Writer) -> str:
    value = f"{w.one('list')} if {w.number()} > 4 else {w.one('list')}"
    return f"{w.bound('list')} = {value}"


def _dict(w: Writer) -> str:
    value = f'{{"n": {w.number()}, "items": {w.one("list")}}}'
    return f"{w.bound('dict')} = {value}"


def _nested(w: Writer) -> str:
    return f'{w.one("dict")}["items"].append({w.number()})'


def _from_dict(w: Writer) -> str:
    value = f'{w.one("dict")}["items"]'
    return f"{w.bound('list')} = {value}"


def _put(w: Writer) -> str:
    return f'{w.one("dict")}["n"] = {w.number()}'


def _update(w: Writer) -> str:
    return f"{w.one('dict')}.update(n={w.number()}, items={w.one('list')})"


def _append(w: Writer) -> str:
    return f"{w.one('list')}.append({w.number()})"


def _pop(w: Writer) -> str:
    value = f"{w.one('list')}.pop() if len({w.one('list')}) > 99 else {w.number()}"
    return f"{w.bound('int')} = {value}"


def _extend(w: Writer) -> str:
    return f"{w.one('list')} += [{w.number()}]"


def _augment(w: Writer) -> str:
    return f"{w.one('int')} += {w.number()}"


def _swap(w: Writer) -> str:
    return f"{w.one('int')}, {w.one('int')} = {w.number()}, {w.number()}"


def _walrus(w: Writer) -> str:
    value = f"{w.number()} + 1"
    inner = w.bound("int")
    return f"{w.bound('int')} = ({inner} := {value}) * 2"


def _reader(w: Writer) -> str:
    body = f"x + {w.number()} + len({w.one('list')})"
    return f"def {w.bound('function')}(x, y={w.number()}):\n    return {body} + y"


def _caller(w: Writer) -> str:
    body = f"{w.one('function')}(x) + 1"
    return f"def {w.new('function')}(x):\n    return {body}"


def _lambda(w: Writer) -> str:
    body = f"x * {w.number()} + sum({w.one('list')})"
    return f"{w.bound('function')} = lambda x: {body}"


def _counter(w: Writer) -> str:
    name = w.one("int")
    return f"def {w.bound('function')}(x):\n    global {name}\n    {name} += x\n    return {name}"


def _global_maker(w: Writer) -> str:
    value, name = w.number(), w.one("int")
    function = w.new("function")
    return f"def {function}(x):\n    global {name}\n    {name} = x + {value}\n    return x\n{function}(3)"


def _logger(w: Writer) -> str:
    return f"def {w.bound('function')}(x):\n    {w.one('list')}.append(x)\n    return x"


def _changer(w: Writer) -> str:
    body = f"    same = seq\n    same.append({w.number()})\n    return len(seq)"
    return f"def {w.bound('changer')}(seq):\n{body}"


def _indirect_changer(w: Writer) -> str:
    inner = w.one("changer")
    return f"def {w.new('changer')}(seq):\n    return {inner}(seq) + 1"


def _change(w: Writer) -> str:
    return f"{w.one('changer')}({w.one('list')})"


def _change_value(w: Writer) -> str:
    value = f"{w.one('changer')}({w.one('list')})"
    return f"{w.bound('int')} = {value}"


def _call(w: Writer) -> str:
    return f"{w.one('function')}({w.number()})"


def _call_value(w: Writer) -> str:
    value = f"{w.one('function')}({w.number()})"
    return f"{w.bound('int')} = {value}"


def _maker(w: Writer) -> str:
    total = f"len(seen) + k + {w.number()}"
    return (
        f"def {w.bound('maker')}(k):\n    seen = []\n    def inner(x):\n        seen.append(x)\n"
        f"        return {total}\n    return inner"
    )


def _closure(w: Writer) -> str:
    value = f"{w.one('maker')}({w.number()})"
    return f"{w.bound('closure')} = {value}"


def _call_closure(w: Writer) -> str:
    value = f"{w.one('closure')}({w.number()})"
    return value if w.draw(st.booleans()) else f"{w.bound('int')} = {value}"


def _class(w: Writer) -> str:
    shared, items = w.one("list"), w.one("list")
    return (
        f"class {w.bound('class')}:\n    shared = {shared}\n    def __init__(self, n):\n        self.n = n\n"
        f"        self.items = {items}\n    def bump(self, x):\n        self.n += x\n"
        f"        return self.n + {w.number()}\n    def peek(self):\n        return self.n"
    )


def _object(w: Writer) -> str:
    value = f"{w.one('class')}({w.number()})"
    return f"{w.bound('object')} = {value}"


def _bump(w: Writer) -> str:
    value = f"{w.one('object')}.bump({w.number()})"
    return value if w.draw(st.booleans()) else f"{w.bound('int')} = {value}"


def _attribute(w: Writer) -> str:
    return f"{w.one('object')}.n = {w.number()}"


def _items(w: Writer) -> str:
    return f"{w.one('object')}.items.append({w.number()})"


def _shared(w: Writer) -> str:
    return f"{w.one('object')}.shared.append({w.number()})"


def _loop(w: Writer) -> str:
    return f"for v in {w.one('list')}[:3]:\n    {w.one('dict')}[v] = v + {w.number()}"


def _each(w: Writer) -> str:
    return f"for part in [{w.one('list')}, {w.one('list')}]:\n    part.append({w.number()})"


def _summing(w: Writer) -> str:
    return f"for v in range(3):\n    {w.one('int')} += v * {w.number()}"


def _if(w: Writer) -> str:
    name, test = w.one("int"), w.number()
    return f"if {test} > 4:\n    {name} = {w.number()}\nelse:\n    {w.one('list')}.append({w.number()})"


def _try(w: Writer) -> str:
    value = f'{w.one("dict")}["missing"]'
    fallback = w.number()
    return (
        f"try:\n    {(name := w.bound('int'))} = {value}\nexcept KeyError as error:\n    {name} = {fallback}"
    )


def _with(w: Writer) -> str:
    return (
        "import contextlib\nwith contextlib.suppress(ValueError):\n"
        f"    {w.one('list')}.append({w.number()})\n    int('x')"
    )


def _import(w: Writer) -> str:
    value = f"math.floor(2.5) + OrderedDict(a={w.number()})['a']"
    return f"import math, string\nfrom collections import Counter, OrderedDict\n{w.bound('int')} = {value}"


def _generator(w: Writer) -> str:
    value = f"sum(v * {w.number()} for v in {w.one('list')})"
    return f"{w.bound('int')} = {value}"


def _decorated(w: Writer) -> str:
    target = w.one("list")
    register = w.new("function")
    return (
        f"def {register}(fn):\n    {target}.append(1)\n    return fn\n"
        f"@{register}\ndef {w.new('function')}(x):\n    return x + {w.number()}"
        if not w.names["function"].remove(register)  # type: ignore[func-returns-value]
        else ""
    )


def _map(w: Writer) -> str:
    value = f"list(map({w.one('function')}, [1, 2]))"
    return f"{w.bound('list')} = {value}"


def _match(w: Writer) -> str:
    value = w.number()
    first = f"    case 3:\n        {w.one('list')}.append(3)"
    return f"match {value}:\n{first}\n    case other:\n        {w.one('int')} = other"


def _getter(w: Writer) -> str:
    function = f"get{w.count}"
    return f"def {function}():\n    kept = {w.one('list')}\n    return kept\n{w.bound('list')} = {function}()"


def _through(w: Writer) -> str:
    function, old = f"same{w.count}", w.one("list")
    how = w.draw(st.sampled_from(["return a", "yield a"]))
    call = f"{function}({old})" if how == "return a" else f"next({function}({old}))"
    return f"def {function}(a):\n    {how}\n{w.bound('list')} = {call}"


def _box(w: Writer) -> str:
    name, old = f"Box{w.count}", w.one("list")
    return (
        f"class {name}:\n    def put(self, what):\n        self.what = what\n        return self\n"
        f"    def get(self):\n        return self.what\n"
        f"box{w.count} = {name}().put({old})\n{w.bound('list')} = box{w.count}.get()"
    )


STATEMENTS: list[tuple[Callable[[Writer], str], tuple[str, ...]]] = [
    (_int, ()),
    (_list, ()),
    (_comprehension, ("list",)),
    (_alias, ()),
    (_either, ("list",)),
    (_dict, ("list",)),
    (_nested, ("dict",)),
    (_from_dict, ("dict",)),
    (_put, ("dict",)),
    (_update, ("dict", "list")),
    (_append, ("list",)),
    (_pop, ("list",)),
    (_extend, ("list",)),
    (_augment, ("int",)),
    (_swap, ("int",)),
    (_walrus, ()),
    (_reader, ("list",)),
    (_caller, ("function",)),
    (_lambda, ("list",)),
    (_counter, ("int",)),
    (_global_maker, ("int",)),
    (_logger, ("list",)),
    (_changer, ()),
    (_indirect_changer, ("changer",)),
    (_change, ("changer", "list")),
    (_change_value, ("changer", "list")),
    (_call, ("function",)),
    (_call_value, ("function",)),
    (_maker, ()),
    (_closure, ("maker",)),
    (_call_closure, ("closure",)),
    (_class, ("list",)),
    (_object, ("class",)),
    (_bump, ("object",)),
    (_attribute, ("object",)),
    (_items, ("object",)),
    (_shared, ("object",)),
    (_loop, ("list", "dict")),
    (_each, ("list",)),
    (_summing, ("int",)),
    (_if, ("int", "list")),
    (_try, ("dict",)),
    (_with, ("list",)),
    (_import, ()),
    (_generator, ("list",)),
    (_decorated, ("list",)),
    (_map, ("function",)),
    (_match, ("int", "list")),
    (_getter, ("list",)),
    (_through, ("list",)),
    (_box, ("list",)),
]

SHOWN = {
    "int": "{}",
    "list": "list({})",
    "dict": "repr({})",
    "function": "{}(2)",
    "changer": "{}([1])",
    "closure": "{}(1)",
    "maker": "{}(1)(1)",
    "class": "{}(1).bump(1)",
    "object": "({0}.n, list({0}.items), list({0}.shared))",
}


def cells() -> st.SearchStrategy[list[str]]:
    """Sources of the cells of one notebook: random statements, and four blocks that read some names."""

    @st.composite
    def build(draw: Draw) -> list[str]:
        writer = Writer(draw)
        sources = [writer.statement() for _ in range(draw(st.integers(3, 16)))]  # type: ignore[call-overload]
        known = [(kind, name) for kind, names in writer.names.items() for name in dict.fromkeys(names)]
        for block, params in BLOCKS.items():
            chosen = draw(st.lists(st.sampled_from(known), max_size=3, unique=True)) if known else []
            shown = [SHOWN[kind].format(name) for kind, name in chosen]  # type: ignore[attr-defined]
            source = f"def {block}({params}):\n    return [{', '.join(shown)}]"
            sources.insert(draw(st.integers(0, len(sources))), source)  # type: ignore[call-overload]
        return sources

    return build()
