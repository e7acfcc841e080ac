"""A lock that fails becomes a finding at the import or pip line that asks for what is at fault."""

from collections.abc import Callable

import pytest
from notebook_federator.analysis import analyse
from notebook_federator.findings import LOCK_RULES, Finding, of_lock, place_of, render
from notebook_federator.locking import LockUnsolvable
from notebook_federator.notebook import Notebook

Spoil = Callable[..., Notebook]
CONFLICT = "protobuf==3.20.0 cannot be installed beside what sites and server run (flwr==1.41.*)"


def finding_of(error: LockUnsolvable, notebook: Notebook) -> Finding:
    (finding,) = of_lock(error, analyse(notebook))
    assert finding.code in {rule.code for rule in LOCK_RULES}
    assert finding.level == "error"
    return finding


@pytest.mark.parametrize("kind", ["no wheel", "unknown"])
def test_a_missing_wheel_points_at_the_import(kind: str, spoil: Spoil) -> None:
    notebook = spoil(
        before="import json\nimport docopt", data="import docopt\ndocopt.docopt('x')\nloader = []"
    )
    error = LockUnsolvable("docopt has no wheel.", hint="Take another.", kind=kind, distributions=("docopt",))  # type: ignore[arg-type]
    finding = finding_of(error, notebook)
    assert (finding.code, place_of(finding)) == ("NF121", "cell 1, line 2")
    assert (finding.message, finding.next_step) == ("docopt has no wheel.", "Take another.")
    assert "     2 | import docopt" in render([finding], notebook)


def test_what_only_another_distribution_needs_points_at_that_one(spoil: Spoil) -> None:
    notebook = spoil(before="import docopt")
    error = LockUnsolvable("ghost", kind="unknown", distributions=("ghost", "docopt"))
    finding = finding_of(error, notebook)
    assert (finding.cell, finding.line) == (1, 1)
    assert finding.next_step == LOCK_RULES[0].remedy


def test_a_conflict_points_at_the_pip_line(spoil: Spoil) -> None:
    notebook = spoil(before="import os\n%pip install protobuf==3.20.0")
    finding = finding_of(LockUnsolvable(CONFLICT, distributions=("protobuf", "flwr")), notebook)
    assert (finding.code, finding.cell, finding.line) == ("NF122", 1, 2)
    assert finding.message == CONFLICT


def test_names_are_compared_as_indexes_do(spoil: Spoil) -> None:
    notebook = spoil(before="%pip install Scikit_Image[data]==0.1")
    finding = finding_of(LockUnsolvable("old", kind="no wheel", distributions=("scikit-image",)), notebook)
    assert (finding.cell, finding.line) == (1, 1)


def test_what_the_notebook_does_not_ask_for_concerns_it_as_a_whole(spoil: Spoil) -> None:
    finding = finding_of(LockUnsolvable("flwr", distributions=("flwr",)), spoil())
    assert (finding.cell, finding.line) == (0, 0)
