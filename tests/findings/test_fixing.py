"""The marks that ``check --fix`` writes make an unmarked notebook the marked one."""

import shutil
from collections.abc import Callable
from pathlib import Path

from notebook_federator.analysis import analyse
from notebook_federator.findings import examine, fix
from notebook_federator.notebook import Notebook, read, write_marks
from notebook_federator.slicing import cut

NOTEBOOKS = Path(__file__).resolve().parent.parent / "fixtures" / "notebooks"


def test_suggested_marks_are_those_of_the_marked_notebook(tmp_path: Path) -> None:
    path = tmp_path / "notebook.ipynb"
    shutil.copy(NOTEBOOKS / "inline_loop_unmarked.ipynb", path)
    notebook = read(path)
    marks = fix(notebook, analyse(notebook))
    assert marks == {4: "data", 7: "model", 9: "train", 11: "test"}
    write_marks(path, marks)
    marked = read(path)
    assert [found for found in examine(marked, analyse(marked), 3, cut) if found.level == "error"] == []
    by_hand = read(NOTEBOOKS / "inline_loop_marked.ipynb")
    assert cut(analyse(marked)).text == cut(analyse(by_hand)).text


def test_nothing_is_written_where_all_is_marked(tmp_path: Path) -> None:
    for name in ("inline_loop_marked", "inline_loop_tags", "paper_2022"):
        notebook = read(NOTEBOOKS / f"{name}.ipynb")
        assert fix(notebook, analyse(notebook)) == {}


def test_a_cell_that_carries_a_mark_keeps_it(build: Callable[[str], Notebook]) -> None:
    source = (NOTEBOOKS.parent / "notebook_sources" / "inline_loop_unmarked.txt").read_text(encoding="utf-8")
    notebook = build(
        source.replace("for epoch in range(num_epochs):", "#| federate: skip\nfor epoch in range(3):")
    )
    assert "train" not in fix(notebook, analyse(notebook)).values()
