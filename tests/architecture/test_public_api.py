"""What the two packages promise to keep."""

import subprocess
import sys

import nbfed_site
import notebook_federator
from nbfed_site import contracts


def test_public_names() -> None:
    assert notebook_federator.__all__ == [
        "BuildOptions",
        "Built",
        "Checked",
        "FinishedRun",
        "Options",
        "__version__",
        "build",
        "check",
        "resume",
        "run",
    ]
    assert all(hasattr(notebook_federator, name) for name in notebook_federator.__all__)
    assert nbfed_site.__all__ == ["__version__"]


def test_contracts_are_whole_though_some_are_loaded_late() -> None:
    assert all(hasattr(contracts, name) for name in contracts.__all__)
    assert not hasattr(contracts, "import_nothing")
    program = "import sys, nbfed_site.contracts; print('nbfed_site.contracts.rounds' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"
