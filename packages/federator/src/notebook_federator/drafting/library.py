"""What calls of well-known libraries give, and which of them read the site's files."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable

from . import tables
from .facts import Facts
from .texts import BRACES, as_text, filled, inside, matched, path_part
from .values import (
    ANY,
    ANY_FOLDERS,
    DATA,
    UNKNOWN,
    Arguments,
    Constant,
    Function,
    Items,
    Located,
    Many,
    Named,
    OpenFile,
    Outside,
    Row,
    Table,
    Text,
    Value,
    element,
    elements,
    from_data,
    joined,
    strings,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SAME = _words(
    """str Path PurePath PosixPath fspath abspath normpath expanduser realpath resolve absolute as_posix
    list tuple set sorted reversed iter natsorted tqdm shuffled copy deepcopy array asarray next"""
)
_HARMLESS = _words(
    """print exists isfile isdir is_file is_dir len isinstance repr makedirs mkdir basename dirname splitext
    relpath getsize append bool int float type warn info debug stat endswith startswith format walk"""
)
_READERS = re.compile(
    r"^(read_\w+|load|load_\w+|loadtxt|loadmat|loadarff|open|fromfile|memmap|genfromtxt|File|OpenSlide|ZipFile|"
    r"dcmread|imread|decode_image|read|open_dataset|parse)$"
)
_IMAGES = _words("imread read_image load_img decode_image")
_FOLDERS = _words("ImageFolder DatasetFolder image_dataset_from_directory flow_from_directory")
_LAYERS = {"Linear": 1, "LazyLinear": 0, "Dense": 0}
_FEW = 50
_COLUMNS_OF_ROWS = _words("values index name Index shape dtype size T")


class Library:
    """Calls into libraries, and methods of values; what they read is noted.

    Args:
        call: follows a call of the notebook's own code; gives None where it is none.
    """

    builtins = frozenset(dir(builtins))

    def __init__(self, facts: Facts, call: Callable[[Value, Arguments], Value | None]) -> None:
        self._facts, self._call = facts, call

    def attribute(self, owner: Value, name: str) -> Value:
        """What ``owner.name`` is, where it is not called."""
        match owner:
            case Text():
                return path_part(owner, name)
            case Table():
                if name in ("loc", "at"):
                    return Located(owner)
                return owner if name in ("iloc", "iat") else DATA
            case Row(table):
                if name not in _COLUMNS_OF_ROWS:
                    self._facts.column(table, [name])
                return DATA
        return DATA if from_data(owner) else UNKNOWN

    def taken(self, owner: Table | Row | Located, key: Value) -> Value:
        """What ``owner[key]`` is; columns are noted."""
        if isinstance(owner, Located):
            known = elements(key) or []
            columns = known[1] if len(known) == 2 else UNKNOWN
            self._facts.column(owner.table, strings(columns))
            return DATA if isinstance(columns, Text) else owner.table
        self._facts.column(owner if isinstance(owner, Table) else owner.table, strings(key))
        return DATA if isinstance(key, Text) else owner

    def called(self, node: ast.Call, function: Value, given: Arguments) -> Value:
        """The result of a call of ``function``."""
        own = self._call(function, given)
        if own is not None:
            return own
        full = function.name if isinstance(function, Outside) else ""
        result = self._known(full, given)
        if result is None:
            result = self._reading(node, full, given)
        self._handed_on(given)
        return result

    def method(self, node: ast.Call, owner: Value, name: str, given: Arguments) -> Value:
        """The result of a method of something that is not the notebook's own."""
        match owner:
            case Text():
                result = self._of_text(owner, name, given)
            case Table() | Row():
                result = tables.method(self._facts, owner, name, given, self._call)
            case Items() | Named() | Many():
                result = _of_collection(owner, name, given)
            case OpenFile():
                result = DATA
            case _:
                result = None
        if result is None:
            result = self._reading(node, name, given, owner)
        self._handed_on(given)
        return result

    def _known(self, full: str, given: Arguments) -> Value | None:
        """The result of a function that passes on, lists or puts together; None of any other."""
        positional = given[0]
        name, first = full.rpartition(".")[2], positional[0] if positional else UNKNOWN
        result: Value | None
        match name:
            case "join" if positional and isinstance(first, Text):
                result = _path(positional)
            case "Path" | "PurePath" if len(positional) > 1:
                result = _path(positional)
            case "listdir":
                result = inside(Text(""), "*")
            case "scandir":
                result = inside(first, "*")
            case "walk":
                roots = first.joined(Text(ANY_FOLDERS)) if isinstance(first, Text) else UNKNOWN
                result = Many(Items([roots, Many(UNKNOWN), Many(Text(ANY))]))
            case "glob" | "iglob" if isinstance(first, Text):
                result = self._globbed(matched(first))
            case "DictReader":
                result = tables.dict_reader(self._facts, first, given)
            case "train_test_split":
                result = Items([_alike(value) for value in positional for _ in range(2)])
            case "concat" | "vstack":
                result = joined(elements(first) or [element(first)])
            case _:
                result = _of_builtin(name, positional) if name else None
        return result

    def _globbed(self, path: Text) -> Many:
        if path.below and "." in path.text.rpartition("/")[2]:
            self._facts.read(path)
        return Many(path)

    def _of_text(self, owner: Text, name: str, given: Arguments) -> Value | None:
        first = given[0][0] if given[0] else UNKNOWN
        result: Value | None
        match name:
            case "joinpath":
                result = _path([owner, *given[0]])
            case "iterdir":
                result = inside(owner, "*")
            case "glob" | "rglob":
                folder = owner.joined(Text(ANY_FOLDERS)) if name == "rglob" else owner
                result = self._globbed(folder.joined(matched(as_text(first))))
            case "open" | "read_text" | "read_bytes":
                result = self._opened(owner, given, mode=0)
            case "format":
                result = filled(owner.text, BRACES, given[0])
            case "split" if owner.whole:
                result = Items([Text(part) for part in owner.text.split("".join(strings(first)) or None)])
            case "with_suffix":
                result = Text(owner.text.rpartition(".")[0] + as_text(first).text, owner.below)
            case "rstrip" | "strip" | "lower" | "upper" if not owner.whole:
                result = owner
            case _:
                result = owner if name in _SAME else DATA if from_data(owner) else UNKNOWN
        return result

    def _opened(self, path: Text, given: Arguments, mode: int) -> Value:
        wanted = given[1].get("mode", given[0][mode] if len(given[0]) > mode else UNKNOWN)
        if any(set(text) & set("wax") for text in strings(wanted)):
            return UNKNOWN
        return OpenFile(self._facts.read(path)) if path.below else UNKNOWN

    def _reading(self, node: ast.Call, full: str, given: Arguments, owner: Value = UNKNOWN) -> Value:
        """The result of any other call; what it reads, by its name and what it is given."""
        name, everything = full.rpartition(".")[2], [*given[0], *given[1].values()]
        if name in _LAYERS:
            position = _LAYERS[name]
            width = given[1].get("out_features", given[1].get("units", UNKNOWN))
            self._facts.outputs.append(given[0][position] if len(given[0]) > position else width)
        self._shapes(name, given)
        path = next((value for value in everything if isinstance(value, Text) and value.below), None)
        if path is None or name in _HARMLESS:
            data = any(from_data(value) for value in (owner, *everything))
            return DATA if data else UNKNOWN
        if name in _FOLDERS:
            self._facts.images = True
            self._facts.read(path, f"{ANY}/{ANY}")
        elif name in ("read_csv", "read_table"):
            return tables.read_table(self._facts, path, given)
        elif name == "open" and not full.endswith("Image.open"):
            return self._opened(path, given, mode=1)
        elif _READERS.match(name) and path.pattern():
            self._facts.images |= name in _IMAGES or full.endswith("Image.open")
            self._facts.read(path)
        else:
            self._facts.unclear(node.func)
        return DATA

    def _shapes(self, name: str, given: Arguments) -> None:
        """Sizes of images that arrays are brought to without being scaled."""
        wanted = [given[1].get("input_shape", given[1].get("shape") if name == "Input" else None)]
        if name in ("reshape", "view"):
            wanted += [*given[0], Items(given[0])]
        for shape in wanted:
            numbers = [value.value if isinstance(value, Constant) else None for value in _items(shape)]
            match numbers:
                case [*_, 1 | 3 | 4, int() as height, int() as width] if min(height, width) > 4:
                    self._facts.shapes[width, height] = None
                case [*_, int() as height, int() as width, 1 | 3 | 4] if min(height, width) > 4:
                    self._facts.shapes[width, height] = None

    def _handed_on(self, given: Arguments) -> None:
        """Functions that a library is given may be called by it."""
        for value in (*given[0], *given[1].values()):
            if isinstance(value, Function):
                self._call(value, ([DATA] * (1 if value.owner is None else 0), {}))


def _items(value: Value | None) -> list[Value]:
    return value.items if isinstance(value, Items) else []


def _path(parts: list[Value]) -> Value:
    path = as_text(parts[0])
    for part in parts[1:]:
        path = path.joined(as_text(part))
    return path


def _alike(value: Value) -> Value:
    """Some of the elements of ``value``."""
    return Many(element(value)) if isinstance(value, Items | Many) else value


def _of_builtin(name: str, given: list[Value]) -> Value | None:
    first = given[0] if given else UNKNOWN
    known = elements(first)
    result: Value | None
    match name:
        case "enumerate":
            pairs = [Items([Constant(number), value]) for number, value in enumerate(known or [])]
            result = Items([*pairs]) if known is not None else Many(Items([UNKNOWN, element(first)]))
        case "zip":
            result = _zipped(given)
        case "len" if known is not None:
            result = Constant(len(known))
        case "range" if len(given) == 1 and isinstance(first, Constant) and isinstance(first.value, int):
            few = first.value <= _FEW
            result = Items([Constant(number) for number in range(first.value)]) if few else Many(UNKNOWN)
        case "int" | "float" if isinstance(first, Constant):
            result = first
        case "next":
            result = element(first)
        case "map" if len(given) > 1:
            result = None
        case _:
            result = first if name in _SAME else None
    return result


def _zipped(given: list[Value]) -> Value:
    known = [elements(value) for value in given]
    if all(items is not None for items in known):
        return Items([Items(list(row)) for row in zip(*(items or [] for items in known), strict=False)])
    return Many(Items([element(value) for value in given]))


def _of_collection(owner: Items | Named | Many, name: str, given: Arguments) -> Value | None:
    first = given[0][0] if given[0] else UNKNOWN
    result: Value | None
    match owner, name:
        case Items(items), "append":
            items.append(first)
            result = Constant(None)
        case Items(items), "extend" if elements(first) is not None:
            items.extend(elements(first) or [])
            result = Constant(None)
        case Named(items), "items":
            result = Items([Items([_key(key), value]) for key, value in items.items()])
        case Named(items), "values":
            result = Items(list(items.values()))
        case Named(items), "keys":
            result = Items([_key(key) for key in items])
        case Named(items), "get" if isinstance(first, Text):
            result = items.get(first.text, UNKNOWN)
        case _:
            result = owner if name == "copy" else None
    return result


def _key(key: str | int) -> Value:
    return Text(key) if isinstance(key, str) else Constant(key)
