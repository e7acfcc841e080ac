"""The one room of a site that talks to the network: a warm client of Flower's Fleet API.

The site asks, the server answers; nothing listens at the site. Whatever the server sends, only the
``handle`` function given to :func:`run` is executed, with a
:class:`~nbfed_site.contracts.RoundInput`; no code is ever fetched.
"""

import os

# Read by flwr while it is imported: no usage reports, no update check, no package installation.
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
os.environ["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] = "1"

from nbfed_site.keys import generate_key, public_key

from .fleet import proxy_of
from .joining import join
from .loop import LinkSettings, run
from .probe import ask_admission, look

__all__ = [
    "LinkSettings",
    "ask_admission",
    "generate_key",
    "join",
    "look",
    "proxy_of",
    "public_key",
    "run",
]
