"""Tables of the site's: which columns the code takes from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from .facts import Facts
from .values import (
    DATA,
    UNKNOWN,
    Arguments,
    Constant,
    Function,
    Items,
    Many,
    Named,
    OpenFile,
    Row,
    Table,
    Text,
    Value,
    strings,
)

_TEXT_FILES = frozenset((".csv", ".tsv", ".txt", ".tab", ".data", ".dat"))
_SAME_ROWS = frozenset(
    """copy dropna fillna sample reset_index head tail query drop_duplicates astype sort_index replace
    drop sort_values set_index round clip""".split()  # noqa: SIM905
)
_BY_COLUMN = frozenset("groupby sort_values set_index pop nunique value_counts pivot".split())  # noqa: SIM905


def read_table(facts: Facts, path: Text, given: Arguments) -> Table:
    """``pd.read_csv(path, ...)``: columns can only be told where the first line names them."""
    words = given[1]
    unnamed = {"names", "skiprows", "comment", "delim_whitespace"} & words.keys()
    other_header = words.get("header", Constant(0)) != Constant(0) and strings(words.get("header")) != [
        "infer"
    ]
    separators = strings(words.get("sep", words.get("delimiter")))
    odd = any(sign not in (",", ";", "\t", "|") for sign in separators)
    named = not (unnamed or other_header or odd) and _is_text(path.text)
    table = facts.table(path, named=named)
    for word in ("usecols", "index_col", "parse_dates"):
        facts.column(table, strings(words.get(word)))
    return table


def dict_reader(facts: Facts, file: Value, given: Arguments) -> Value:
    """``csv.DictReader(file)``."""
    if not isinstance(file, OpenFile):
        return DATA
    named = "fieldnames" not in given[1] and len(given[0]) < 2
    table = Table(file.pattern, named)
    facts.tables.append(table)
    return Many(Row(table))


def method(
    facts: Facts,
    owner: Table | Row,
    name: str,
    given: Arguments,
    call: Callable[[Value, Arguments], Value | None],
) -> Value | None:
    """The result of a method of a table or row; columns that it takes are noted."""
    table = owner if isinstance(owner, Table) else owner.table
    positional, words = given
    first = positional[0] if positional else UNKNOWN
    facts.column(table, strings(words.get("subset")))
    if name == "drop":
        _dropped(facts, table, first, words)
    elif name in _BY_COLUMN:
        facts.column(table, strings(words.get("by", words.get("keys", first))))
    result: Value
    match name:
        case "iterrows":
            result = Many(Items([DATA, Row(table)]))
        case "itertuples":
            result = Many(Row(table))
        case "to_dict" if strings(first) == ["records"] or strings(words.get("orient")) == ["records"]:
            result = Many(Row(table))
        case "apply" if isinstance(first, Function) and words.get("axis") in (Constant(1), Text("columns")):
            call(first, ([Row(table)], {}))
            result = DATA
        case "assign":
            table.added.update(words)
            result = table
        case "rename":
            result = _renamed(facts, table, words)
        case "get":
            result = DATA
        case _:
            result = owner if name in _SAME_ROWS else DATA
    return result


def _dropped(facts: Facts, table: Table, first: Value, words: Mapping[str, Value]) -> None:
    if strings(words.get("errors")) == ["ignore"]:
        return
    facts.column(table, strings(words.get("columns")))
    if words.get("axis") in (Constant(1), Text("columns")):
        facts.column(table, strings(words.get("labels", first)))


def _renamed(facts: Facts, table: Table, words: Mapping[str, Value]) -> Value:
    names = words.get("columns")
    if not isinstance(names, Named):
        table.named = False
        return table
    facts.column(table, [key for key in names.items if isinstance(key, str)])
    for value in names.items.values():
        table.added.update(strings(value))
    return table


def _is_text(path: str) -> bool:
    suffixes = PurePosixPath(path).suffixes
    if suffixes and suffixes[-1].lower() == ".gz":
        suffixes.pop()
    return bool(suffixes) and suffixes[-1].lower() in _TEXT_FILES
