"""Notebook Federator: from a private Jupyter notebook to a running federation.

>>> import notebook_federator as nf
>>> run = nf.run("model.ipynb", sites={"hospital-a": "data/a", "hospital-b": "data/b"})
>>> run.table(), run.plot(), run.report()
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Checked, FinishedRun, check, resume, run
    from .federation import Options

__version__ = "0.1.0"

__all__ = ["Checked", "FinishedRun", "Options", "__version__", "check", "resume", "run"]


def __getattr__(name: str) -> Any:
    """Load what is asked for, so that a command loads only its own part."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api, federation

    return getattr(federation if name == "Options" else api, name)


def __dir__() -> list[str]:
    return __all__
