"""The Python interface, from a real Jupyter kernel."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.end_to_end

CELLS = [
    "import notebook_federator as nf\nchecked = nf.check('slow.ipynb', sites=2)\nlen(checked.findings)",
    "run = nf.run('slow.ipynb', sites={'a': 'data/a', 'b': 'data/b'}, rounds=2, alone=True)",
    "run",
    "%matplotlib inline\nrun.plot()",
    "print(run.report().html, run.model('last')['layers.0.weight'].shape)",
    "nf.run('slow.ipynb', sites=2, quorum='5')",
]


def outputs(cell) -> str:
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text") or "")
        texts += [str(value) for value in output.get("data", {}).values()]
    return "\n".join(texts)


def test_run_table_plot_and_errors_in_jupyter(slow_notebook: Path, make_site, tmp_path: Path) -> None:
    (tmp_path / "slow.ipynb").write_bytes(slow_notebook.read_bytes())
    make_site("a")
    make_site("b", shift=1.0)
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    client = NotebookClient(
        document, timeout=90, allow_errors=True, resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    checked, run, shown, plot, files, refused = document.cells
    assert outputs(checked).strip() == "1"
    assert "round 2 of 2 finished" in outputs(run)
    assert "| Federation | 60 |" in outputs(shown)
    assert any("image/png" in output.get("data", {}) for output in plot.outputs)
    assert "report.html (8, 4)" in outputs(files)
    assert (tmp_path / "runs/slow-1/report/report.html").exists()
    assert refused.outputs[0].ename == "SettingsInvalid"
    assert "quorum of 5" in refused.outputs[0].evalue
