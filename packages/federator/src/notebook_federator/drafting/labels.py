"""Which classes a notebook tells apart, as far as its names, layers and loss agree."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from .values import Constant, Items, Named, Value

_NAME = re.compile(
    r"(^|_)(class(es)?|class_?names?|label_?names?|class_?(map|to_idx)|label_?map|label2id)$", re.I
)
_NUMBER = re.compile(r"^(num|n|nb|number_of)_?(classes|labels)$", re.I)
_ONE_OF_MANY = frozenset(
    """CrossEntropyLoss cross_entropy NLLLoss nll_loss sparse_categorical_crossentropy
    categorical_crossentropy SparseCategoricalCrossentropy CategoricalCrossentropy""".split()  # noqa: SIM905
)
_YES_OR_NO = frozenset(
    """BCELoss BCEWithLogitsLoss binary_cross_entropy binary_cross_entropy_with_logits binary_crossentropy
    BinaryCrossentropy""".split()  # noqa: SIM905
)


def classes_of(
    names: Mapping[str, Value], outputs: Sequence[Value], words: Collection[str]
) -> tuple[tuple[str, ...], str]:
    """The labels as a site counts them, and otherwise why they cannot be told.

    Args:
        names: what the notebook's names stand for. outputs: numbers of outputs of the model's layers.
        words: all names and texts in the slice.
    """
    found = [labels for name, value in names.items() if (labels := _stated(name, value))]
    last = outputs[-1].value if outputs and isinstance(outputs[-1], Constant) else None
    many, yes_or_no = _ONE_OF_MANY & set(words), _YES_OR_NO & set(words)
    if isinstance(last, int) and bool(many) != bool(yes_or_no):
        number = last if many and last > 1 else 2 if yes_or_no and last == 1 else 0
        found += [_numbered(number)] * bool(number)
    if not found:
        return (), "Its classes cannot be told from the code; write labels by hand if it has some."
    if len(set(found)) > 1:
        return (), "The code speaks of different numbers of classes; write labels by hand."
    return found[0], ""


def _stated(name: str, value: Value) -> tuple[str, ...]:
    match value:
        case Constant(int() as number) if _NUMBER.search(name) and number > 1:
            return _numbered(number)
        case Items(items) if _NAME.search(name) and len(items) > 1:
            return _numbered(len(items))
        case Named(items) if _NAME.search(name) and len(items) > 1:
            values = [item.value for item in items.values() if isinstance(item, Constant)]
            numbers = sorted(
                key for key in values or items if isinstance(key, int) and not isinstance(key, bool)
            )
            return tuple(map(str, numbers)) if len(numbers) == len(items) else ()
    return ()


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
