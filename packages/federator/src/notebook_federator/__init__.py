"""Notebook Federator: from a private Jupyter notebook to a running federation.

>>> import notebook_federator as nf
>>> run = nf.run("model.ipynb", sites={"hospital-a": "data/a", "hospital-b": "data/b"})
>>> run.table(), run.plot(), run.report()
"""

from .api import Checked, FinishedRun, check, resume, run
from .federation import Options

__version__ = "0.1.0"

__all__ = ["Checked", "FinishedRun", "Options", "__version__", "check", "resume", "run"]
