"""Write the golden texts and docs/reference/findings.md again; read the diff before committing it."""

from pathlib import Path

from notebook_federator.analysis import analyse
from notebook_federator.findings import LOCK_RULES, RULES, examine, reference, render
from notebook_federator.notebook import read
from notebook_federator.slicing import cut

TESTS = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    page = TESTS.parent / "docs" / "reference" / "findings.md"
    page.write_text(reference((*RULES, *LOCK_RULES)), encoding="utf-8")
    for path in sorted((TESTS / "fixtures" / "notebooks").glob("*.ipynb")):
        if path.stem != "corrupt":
            notebook = read(path)
            text = render(examine(notebook, analyse(notebook), cut=cut), notebook)
            (TESTS / "findings" / "golden" / f"{path.stem}.txt").write_text(text, encoding="utf-8")
