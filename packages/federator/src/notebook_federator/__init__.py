"""Notebook Federator: from a private Jupyter notebook to a running federation.

>>> import notebook_federator as nf
>>> run = nf.run("model.ipynb", sites={"hospital-a": "data/a", "hospital-b": "data/b"})
>>> run.table(), run.plot(), run.report()
>>> nf.build("model.ipynb", push="ghcr.io/our-lab/model")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Checked, FinishedRun, build, check, resume, run
    from .federation import Options
    from .imaging import Built
    from .settling import BuildOptions

__version__ = "0.1.0"

__all__ = [
    "BuildOptions", "Built", "Checked", "FinishedRun", "Options", "__version__",
    "build", "check", "resume", "run",
]  # fmt: skip
_ELSEWHERE = {"BuildOptions": "settling", "Built": "imaging", "Options": "federation"}


def __getattr__(name: str) -> Any:
    """Load what is asked for, so that a command loads only its own part."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_ELSEWHERE.get(name, 'api')}", __name__), name)


def __dir__() -> list[str]:
    return __all__
