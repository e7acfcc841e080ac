"""The fixture notebooks, and what is found in each, held by golden texts.

To write the golden texts again after a change: ``python tests/findings/write_golden.py``, then read the diff.
"""

from pathlib import Path
from types import ModuleType

import pytest
from nbfed_site.contracts import NotebookUnreadable
from notebook_federator.analysis import analyse
from notebook_federator.findings import examine, render
from notebook_federator.notebook import read
from notebook_federator.slicing import cut

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
GOLDEN = Path(__file__).resolve().parent / "golden"
NAMES = sorted(path.stem for path in (FIXTURES / "notebooks").glob("*.ipynb") if path.stem != "corrupt")
FEDERABLE = {
    "paper_2022",
    "load_data_no_parameter",
    "load_data_two_tuple",
    "load_data_three_tuple",
    "helper_module",
    "inline_loop_marked",
    "inline_loop_tags",
    "inline_slices",
    "ugly",
    "windows_line_endings",
    "nbformat_3",
    "train_raises",
    "unreadable_samples",
}


def test_notebooks_are_what_the_sources_say(maker: ModuleType) -> None:
    sources = {path.stem: path for path in (FIXTURES / "notebook_sources").glob("*.txt")}
    written = {path.stem: path.read_bytes() for path in (FIXTURES / "notebooks").glob("*.ipynb")}
    assert written == {
        name: maker.notebook_bytes(path.read_text(encoding="utf-8")) for name, path in sources.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_findings_are_the_golden_ones(name: str) -> None:
    notebook = read(FIXTURES / "notebooks" / f"{name}.ipynb")
    text = render(examine(notebook, analyse(notebook), cut=cut), notebook)
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_only_the_notebooks_that_can_run_are_let_through(name: str) -> None:
    notebook = read(FIXTURES / "notebooks" / f"{name}.ipynb")
    errors = [found for found in examine(notebook, analyse(notebook), 3, cut) if found.level == "error"]
    warned_only = {"hard_coded_cuda", "network_use"}
    assert (not errors) == (name in FEDERABLE | warned_only)


def test_every_notebook_is_listed_in_the_readme() -> None:
    readme = (FIXTURES / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert [name for name in [*NAMES, "corrupt"] if f"`{name}`" not in readme] == []


def test_a_cut_off_file_is_unreadable() -> None:
    with pytest.raises(NotebookUnreadable, match="JSON"):
        read(FIXTURES / "notebooks" / "corrupt.ipynb")
