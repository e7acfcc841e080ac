"""Reading notebook files: versions, damage, size, magics, marks."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbfed_site.contracts import BadInput, NotebookUnreadable
from notebook_federator import notebook
from notebook_federator.notebook.magics import neutralise


def code(source: str, **metadata: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": metadata,
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def document(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def save(path: Path, value: dict[str, Any], **style: Any) -> Path:
    path.write_text(json.dumps(value, **style) + "\n", encoding="utf-8")
    return path


def test_cells_keep_numbers_over_all_kinds(tmp_path: Path) -> None:
    text = {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "text"]}
    path = save(tmp_path / "a.ipynb", document(text, code("x = 1", tags=["parameters"])))
    found = notebook.read(path)
    assert [(cell.number, cell.kind) for cell in found.cells] == [(1, "markdown"), (2, "code")]
    assert found.cell(2).tags == ("parameters",)
    assert found.cells[0].source == "# Title\ntext"
    assert found.cells[0].python == ""
    assert (found.name, found.folder, found.language) == ("a.ipynb", tmp_path, "python")


def test_the_digest_covers_sources_and_tags_but_not_outputs(tmp_path: Path) -> None:
    plain = notebook.read(save(tmp_path / "a.ipynb", document(code("x = 1"))))
    run = code("x = 1") | {
        "execution_count": 7,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "hi"}],
    }
    assert notebook.read(save(tmp_path / "b.ipynb", document(run))).digest == plain.digest
    for other in (code("x = 2"), code("x = 1", tags=["t"])):
        assert notebook.read(save(tmp_path / "c.ipynb", document(other))).digest != plain.digest


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"cells": [', "not valid JSON"),
        ("[1, 2]", "not a Jupyter notebook"),
        ('{"a": 1}', "not a Jupyter notebook"),
        ('{"cells": [3]}', "not a Jupyter notebook"),
        ('{"cells": [{"cell_type": "code", "source": 5}]}', "not a Jupyter notebook"),
        ('{"cells": [], "metadata": {"kernelspec": {"language": "R"}}}', "speaks r"),
        ('{"worksheets": [{"cells": [{"cell_type": "nonsense"}]}], "nbformat": 3}', "not a Jupyter notebook"),
        ("\x00\x01", "not valid JSON"),
    ],
)
def test_damaged_files_are_refused_with_words(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "bad.ipynb"
    path.write_text(content)
    with pytest.raises(NotebookUnreadable) as caught:
        notebook.read(path)
    assert says in caught.value.what
    assert str(path) in caught.value.where
    assert caught.value.hint


def test_missing_files_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotebookUnreadable, match="cannot be opened"):
        notebook.read(tmp_path / "none.ipynb")
    (tmp_path / "bin.ipynb").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(NotebookUnreadable):
        notebook.read(tmp_path / "bin.ipynb")


def test_nbformat_3_is_upgraded(tmp_path: Path) -> None:
    cell = {
        "cell_type": "code",
        "input": ["x = 1\n", "y = 2"],
        "language": "python",
        "metadata": {},
        "outputs": [],
    }
    heading = {"cell_type": "heading", "level": 1, "metadata": {}, "source": ["Old"]}
    value = {"metadata": {"name": "x"}, "nbformat": 3, "nbformat_minor": 0}
    found = notebook.read(save(tmp_path / "old.ipynb", value | {"worksheets": [{"cells": [heading, cell]}]}))
    assert [c.kind for c in found.cells] == ["markdown", "code"]
    assert found.cell(2).python == "x = 1\ny = 2"


def test_outputs_of_fifty_megabytes_are_dropped(tmp_path: Path) -> None:
    output = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "A" * 10_000_000}}
    big = [code(f"x{i} = {i}") | {"outputs": [output]} for i in range(5)]
    path = save(tmp_path / "big.ipynb", document(*big))
    assert path.stat().st_size > 50_000_000
    assert [cell.source for cell in notebook.read(path).cells] == [f"x{i} = {i}" for i in range(5)]


@pytest.mark.parametrize(
    ("source", "python", "magics"),
    [
        ("!pip install x", "pass", [(1, "!pip install x")]),
        ("%matplotlib inline\nx = 1", "pass\nx = 1", [(1, "%matplotlib inline")]),
        ("if a:\n    !ls {a}\nb = 2", "if a:\n    pass\nb = 2", [(2, "!ls {a}")]),
        ("files = !ls\nx = 1", "files = []\nx = 1", [(1, "!ls")]),
        ("%%bash\nls", "\n", [(1, "%%bash\nls")]),
        ("# note\n%%bash\nls", "\n\n", [(2, "%%bash\nls")]),
        ("%%time\nx = 1\n!ls", "\nx = 1\npass", [(1, "%%time"), (3, "!ls")]),
        ("%pip install a \\\n  b\ny = 2", "pass\n\ny = 2", [(1, "%pip install a b")]),
        ("x = (5\n% 3)", "x = (5\n% 3)", []),
        ("s = '''\n!not shell\n'''\n!ls", "s = '''\n!not shell\n'''\npass", [(4, "!ls")]),
        ("df?", "pass", [(1, "df?")]),
        ("pip install torch", "pass", [(1, "pip install torch")]),
        ("a = 7\nb = a \\\n% 3", "a = 7\nb = a \\\n% 3", []),
    ],
)
def test_magics_become_inert_in_place(source: str, python: str, magics: list[tuple[int, str]]) -> None:
    found, lines = neutralise(source)
    assert found == python
    assert [(magic.line, magic.text) for magic in lines] == magics


@given(
    st.lists(
        st.sampled_from(
            ["!ls", "%time x = 1", "x = 1", "if x:", "    !echo", "    y = 2", "'''", "#", "", "x = !a \\"]
        )
    )
)
def test_lines_never_move(lines: list[str]) -> None:
    source = "\n".join(lines)
    assert neutralise(source)[0].count("\n") == source.count("\n")


@given(st.text(alphabet="ab=+()[]'\"\\#!%?\n ", max_size=40))
def test_valid_python_is_left_alone(source: str) -> None:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return
    assert neutralise(source) == (source, ())


@pytest.mark.parametrize(
    ("source", "tags", "role"),
    [
        ("#| federate: data\nx = 1", [], "data"),
        ("\n#|federate:Train", [], "train"),
        ("x = 1\n#| federate: data", [], None),
        ("x = 1", ["other", "federate:test"], "test"),
        ("#| federate: model", ["federate:test"], "model"),
        ("#| federate: nonsense", [], "nonsense"),
    ],
)
def test_directives_come_from_the_first_line_or_a_tag(
    tmp_path: Path, source: str, tags: list[str], role: str | None
) -> None:
    found = notebook.read(save(tmp_path / "a.ipynb", document(code(source, tags=tags))))
    assert found.cells[0].directive == role


@pytest.mark.parametrize("style", [{"indent": 1}, {"indent": 4, "ensure_ascii": False}, {}, {"indent": "\t"}])
def test_marks_change_nothing_else(tmp_path: Path, style: dict[str, Any]) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": ["é\n"]}
    cells = [code("x = 'é'"), code("#| federate: data\ny = 2") | {"outputs": [output]}, code("z = 3")]
    cells[2]["source"] = ["a = 1\n", "b = 2"]
    value = document(*cells, kernelspec={"name": "python3", "display_name": "P"}, zzz=1)
    path = save(tmp_path / "a.ipynb", value, **style)
    notebook.write_marks(path, {2: "train", 3: "test"})
    cells[1]["source"] = "#| federate: train\ny = 2"
    cells[2]["source"] = ["#| federate: test\n", "a = 1\n", "b = 2"]
    assert path.read_text(encoding="utf-8") == json.dumps(value, **style) + "\n"
    before = path.read_bytes()
    notebook.write_marks(path, {2: "train", 3: "test"})
    assert path.read_bytes() == before


def test_marks_go_to_code_cells_only(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ipynb", document({"cell_type": "markdown", "metadata": {}, "source": "x"}))
    for number in (0, 1, 2):
        with pytest.raises(BadInput, match="not a code cell"):
            notebook.write_marks(path, {number: "data"})
