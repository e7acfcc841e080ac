"""Findings on cells taken at random from the fixtures: never a crash, always a place that exists."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_federator.analysis import analyse
from notebook_federator.findings import RULES, examine, render
from notebook_federator.notebook import Cell, Notebook
from notebook_federator.notebook.magics import neutralise
from notebook_federator.notebook.reading import directive_of
from notebook_federator.slicing import cut

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
LEVELS = {rule.code: rule.levels for rule in RULES}


def cell_sources() -> list[str]:
    """The cells of all fixture sources, without their kinds and tags."""
    texts = [
        path.read_text(encoding="utf-8") for path in sorted((FIXTURES / "notebook_sources").glob("*.txt"))
    ]
    parts = [part.split("\n", 1) for text in texts for part in ("\n" + text).split("\n=== ")[1:]]
    return sorted({part[1].strip("\n") for part in parts if len(part) == 2})


def notebook_of(sources: list[str], tags: list[str]) -> Notebook:
    cells = []
    for number, (source, tag) in enumerate(zip(sources, tags, strict=True), start=1):
        python, magics = neutralise(source)
        mark = directive_of(source, (tag,))
        cells.append(Cell(number, "code", source, python, (tag,), mark, magics))
    return Notebook("any.ipynb", FIXTURES / "notebooks", "sha256:" + "0" * 64, tuple(cells))


TAGS = [
    "",
    "federate:data",
    "federate:model",
    "federate:train",
    "federate:test",
    "federate:skip",
    "federate:x",
]
CELLS = st.lists(st.tuples(st.sampled_from(cell_sources()), st.sampled_from([""] * 6 + TAGS)), max_size=12)


@settings(max_examples=60)
@given(CELLS, st.sampled_from([None, 1, 3]))
def test_findings_stand_at_places_that_exist(cells: list[tuple[str, str]], sites: int | None) -> None:
    notebook = notebook_of([source for source, _ in cells], [tag for _, tag in cells])
    with_slice = examine(notebook, analyse(notebook), sites, cut)
    found = examine(notebook, analyse(notebook), sites)
    assert with_slice == examine(notebook, analyse(notebook), sites, cut)
    for finding in (*found, *with_slice):
        assert finding.level in LEVELS[finding.code]
        assert finding.message.endswith(".")
        if finding.cell:
            lines = notebook.cell(finding.cell).source.split("\n")
            assert 1 <= finding.line <= len(lines)
            assert 0 <= finding.column <= finding.end_column <= len(lines[finding.line - 1]) + 1
    assert render(found, notebook).endswith(".\n")
