"""Generated notebooks: the slice, when executed, behaves as the notebook's own cells do."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from notebook_federator import analysis, notebook, slicing

sys.path.insert(0, str(Path(__file__).parent))
from generated_notebooks import BLOCKS, cells


def sliced(folder: Path, sources: list[str]) -> slicing.Slice:
    path = folder / "generated.ipynb"
    code = [
        {"cell_type": "code", "metadata": {}, "source": s, "outputs": [], "execution_count": None}
        for s in sources
    ]
    path.write_text(json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return slicing.cut(analysis.analyse(notebook.read(path)))


def setup_text(result: slicing.Slice) -> str:
    last = next(part.last_line for part in result.manifest.sections if part.phase == "setup")
    return "\n".join(result.text.split("\n")[:last])


def behaviour(namespace: dict[str, Any]) -> list[Any]:
    """What calling the four blocks gives, in order."""
    given_: list[tuple[Any, ...]] = [(), (), (None, None, None, 1), (None, None)]
    return [json.dumps(namespace[name](*args)) for name, args in zip(BLOCKS, given_, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(sources=cells())
@example(sources=["a = []", "b = a", "def load_data(): return [a]", "b.append(1)", "def Model(): return []",
                  "def train(n, t, v, e): return [len(b)]", "def test(n, t): return []"])  # fmt: skip
def test_the_slice_behaves_as_the_notebook(folder: Path, sources: list[str]) -> None:
    whole: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec("\n".join(sources), whole)
        expected = behaviour(whole)
    except (RecursionError, NameError, TypeError, AttributeError, KeyError):
        assume(False)
    result = sliced(folder, sources)
    part: dict[str, Any] = {"__name__": "__main__"}
    exec(setup_text(result), part)
    assert behaviour(part) == expected, result.text


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(sources=cells())
def test_every_name_is_carried_or_dropped_once(folder: Path, sources: list[str]) -> None:
    result = sliced(folder, sources)
    carried, dropped = [c.name for c in result.carried], [d.name for d in result.dropped]
    assert len({*carried, *dropped}) == len(carried) + len(dropped)
    path = folder / "generated.ipynb"
    statements = analysis.analyse(notebook.read(path)).statements
    assert {*carried, *dropped} == {name for s in statements for name in s.defines | s.writes}
    assert sliced(folder, sources) == result
