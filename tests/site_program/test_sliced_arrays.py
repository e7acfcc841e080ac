"""A notebook without loaders, cut for sites and run as at one: counted, shared out, weighed."""

from pathlib import Path

import numpy as np
import pytest
from nbfed_site.program import Partition, Program
from notebook_federator import analysis, notebook, slicing

NOTEBOOK = Path(__file__).resolve().parents[1] / "fixtures" / "notebooks" / "inline_slices.ipynb"


@pytest.fixture
def slice_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "slice"
    slicing.write(slicing.cut(analysis.analyse(notebook.read(NOTEBOOK))), folder)
    draw = np.random.default_rng(5)
    x = draw.normal(size=(80, 4))
    table = np.column_stack([x, x[:, 0] > 0])
    np.savetxt(tmp_path / "vitals.csv", table, "%.4f", ",", header="a,b,c,d,sepsis", comments="")
    return folder


def test_it_is_counted_before_round_1_and_weighs_what_it_holds(slice_folder: Path) -> None:
    program = Program(slice_folder, {"data_path": str(slice_folder.parent)}, None, lambda progress: None)
    card = program.prepare(1)
    assert card.samples == {"train": 60, "test": 20}
    assert sum(card.classes["train"].values()) == 60
    assert card.warnings == ()
    before = {name: np.array(value) for name, value in program.initial(1).items()}
    trained, weight = program.fit(before, {"seed": 1, "epochs": 2})
    assert weight == 60, "however many epochs there are"
    assert not np.array_equal(trained["0.weight"], before["0.weight"])
    evaluation = program.evaluate(before, {"seed": 1})
    assert (evaluation.num_examples, sum(map(sum, evaluation.confusion))) == (20, 20)
    assert evaluation.warnings == ()


def test_shares_are_disjoint_and_each_trains_on_its_own(slice_folder: Path) -> None:
    given = {"data_path": str(slice_folder.parent)}
    programs = [Program(slice_folder, given, Partition(k, 3), lambda progress: None) for k in range(3)]
    assert [program.prepare(1).samples for program in programs] == [
        {"train": 20, "test": 7},
        {"train": 20, "test": 7},
        {"train": 20, "test": 6},
    ]
    start = {name: np.array(value) for name, value in programs[0].initial(1).items()}
    results = [np.array(program.fit(start, {"seed": 1})[0]["0.weight"]) for program in programs]
    assert not np.array_equal(results[0], results[1])
