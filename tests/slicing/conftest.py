"""Notebooks written in tests, cut."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from notebook_federator import analysis, notebook, slicing

Cut = Callable[..., slicing.Slice]


@pytest.fixture
def cut(tmp_path: Path) -> Cut:
    """Cuts a notebook of code cells with the given sources; ``tags`` maps cell numbers to tags."""

    def cut_(*sources: str, tags: dict[int, list[str]] | None = None) -> slicing.Slice:
        cells = [
            {
                "cell_type": "code",
                "metadata": {"tags": (tags or {}).get(number, [])},
                "source": source.strip("\n"),
                "outputs": [],
                "execution_count": None,
            }
            for number, source in enumerate(sources, start=1)
        ]
        path = tmp_path / "notebook.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return slicing.cut(analysis.analyse(notebook.read(path)))

    return cut_


@pytest.fixture
def fixture_notebook() -> Callable[[str], Path]:
    """The path of a fixture notebook."""
    folder = Path(__file__).parents[1] / "fixtures" / "notebooks"
    return lambda name: folder / f"{name}.ipynb"
