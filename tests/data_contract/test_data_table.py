"""The data contract in federation.toml: written, read, and refused with the key at fault."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from nbfed_site.contracts import DataContract, FederationUnreadable
from notebook_federator.federation.data_table import contract_from_table, contract_to_table

WRITTEN = """
[data]
files = ["train/*/*.png", "patients.csv"]
labels = [0, "1"]
image_size = [50, 40]
minimum_per_class = 1

[data.columns]
"patients.csv" = ["images", "GT"]

[data.minimum]
train = 10
"""


def test_the_table_as_an_author_writes_it() -> None:
    assert contract_from_table(tomllib.loads(WRITTEN)["data"]) == DataContract(
        ("train/*/*.png", "patients.csv"),
        {"patients.csv": ("images", "GT")},
        ("0", "1"),
        (50, 40),
        {"train": 10},
        1,
    )
    assert contract_from_table({}) == DataContract()
    assert contract_to_table(DataContract()) == {}


names = st.text(min_size=1)
contracts = st.builds(
    DataContract,
    files=st.lists(st.from_regex(r"[a-z*]{1}[a-z./ \"']{0,4}x", fullmatch=True)).map(tuple),
    columns=st.dictionaries(st.just("a.csv"), st.lists(names, min_size=1).map(tuple)),
    labels=st.lists(names).map(tuple),
    image_size=st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9)),
    minimum=st.dictionaries(st.sampled_from(["train", "validation", "test"]), st.integers(0, 99)),
    minimum_per_class=st.integers(0, 99),
)


@given(contracts)
def test_what_is_written_is_read_again(contract: DataContract) -> None:
    text = tomli_w.dumps({"data": contract_to_table(contract)})
    assert contract_from_table(tomllib.loads(text).get("data", {})) == contract


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ([], "data is no table"),
        ({"file": []}, "data.file is not known"),
        ({"files": "a.csv"}, "data.files is no list"),
        ({"files": ["../a.csv"]}, "data.files holds '../a.csv'"),
        ({"files": [7]}, "data.files holds 7"),
        ({"columns": ["age"]}, "data.columns is no table"),
        ({"columns": {"/a.csv": ["age"]}}, "data.columns holds '/a.csv'"),
        ({"columns": {"a.csv": ["age", 2]}}, "data.columns.'a.csv' holds"),
        ({"labels": [True]}, "data.labels holds"),
        ({"image_size": [50]}, "data.image_size is no width and height"),
        ({"image_size": [0, 50]}, "data.image_size is no width and height"),
        ({"image_size": "50x50"}, "data.image_size is no list"),
        ({"minimum": {"training": 3}}, "data.minimum.training is not known"),
        ({"minimum": {"train": -1}}, "data.minimum.train is -1"),
        ({"minimum": 10}, "data.minimum is no table"),
        ({"minimum_per_class": 1.5}, "data.minimum_per_class is 1.5"),
    ],
)
def test_a_wrong_table_is_refused_with_the_key_at_fault(table: Any, key: str) -> None:
    with pytest.raises(FederationUnreadable) as caught:
        contract_from_table(table)
    assert caught.value.what.startswith(key)
    assert caught.value.hint


def test_the_table_in_the_documentation(repository: Path) -> None:
    page = (repository / "docs/how-to/data-contract.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    contract = contract_from_table(tomllib.loads(block)["data"])
    assert contract.image_size == (50, 50)
    assert contract.columns == {"*.csv": ("images", "GT")}
    assert contract.minimum == {"train": 200, "test": 50}
