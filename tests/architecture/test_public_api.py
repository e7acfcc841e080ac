"""What the two packages promise to keep."""

import nbfed_site
import notebook_federator


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
