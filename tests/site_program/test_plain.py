"""Shapes as plain JSON values and back: what was tampered with is found."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from nbfed_site.contracts import (
    ArraySpec,
    DataContract,
    Evaluation,
    Kit,
    Names,
    Parameter,
    Receipt,
    RoundOutput,
    SiteCard,
    canonical_json,
    output_from_header,
    output_header,
    plain,
    rebuilt,
)

SPECS = (ArraySpec("w", (3, 2), "float32"), ArraySpec("n", (), "int64"))
EVALUATION = Evaluation(20, {"loss": 0.5, "accuracy": 1}, ((9, 1), (0, 10)), ("0", "1"), ("A warning.",))
CARD = SiteCard({"train": 20}, {"train": {"0": 20}}, {"train": 0}, SPECS, ("One class.",), ("Few.",))
RECEIPT = Receipt(
    0, "2026-11-27T20:00:00+00:00", "joined", "", "", 0, "", {"days": 400}, "sha256:0", "sha256:1"
)
FULL = RoundOutput(
    "t1", "train", 3, 20, {"loss": 0.1}, EVALUATION, None, None, CARD, {"train": 1.5}, (RECEIPT,)
)


def over_the_wire(value: Any) -> Any:
    return json.loads(canonical_json(value))


@pytest.mark.parametrize(
    "value",
    [
        *(SPECS[0], EVALUATION, CARD, RECEIPT, Names("net"), DataContract(("*.csv",))),
        *(DataContract(image_size=(50, 50), columns={"a": ("b",)}), Parameter("lr", "other", -0.5)),
        *(Parameter("k", "other", -3), Parameter("name", "other", None)),
    ],
)
def test_what_was_made_plain_is_rebuilt(value: Any) -> None:
    assert rebuilt(type(value), over_the_wire(plain(value))) == value


def test_an_output_goes_without_its_arrays() -> None:
    header = output_header(FULL)
    assert "arrays" not in header
    assert output_from_header(over_the_wire(header), None) == FULL


@dataclass(frozen=True)
class Outer:
    inner: ArraySpec
    count: int = 0
    share: float | None = None
    more: Any = field(default=None)


WHOLE = {"inner": {"name": "w", "shape": [3], "dtype": "float32"}}


@pytest.mark.parametrize(
    ("change", "field_named"),
    [
        ({"inner": {"name": "w", "shape": ["3"], "dtype": "float32"}}, "inner"),
        ({"inner": {"name": "\ud800", "shape": [3], "dtype": "float32"}}, "inner"),
        ({"inner": ["w", [3], "float32"]}, "inner"),
        ({"count": True}, "count"),
        ({"count": -1}, "count"),
        ({"count": 2**53 + 1}, "count"),
        ({"count": 1.0}, "count"),
        ({"share": float("nan")}, "share"),
        ({"share": float("inf")}, "share"),
        ({"share": "0.5"}, "share"),
        ({"strange": 1}, "strange"),
    ],
)
def test_a_field_of_another_kind_is_named(change: dict[str, Any], field_named: str) -> None:
    assert rebuilt(Outer, WHOLE) == Outer(ArraySpec("w", (3,), "float32"))
    with pytest.raises(TypeError, match=f"'{field_named}'"):
        rebuilt(Outer, WHOLE | change)


@pytest.mark.parametrize("value", [None, [], "text", 3, {}])
def test_what_is_no_such_shape_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        rebuilt(Kit, value)
