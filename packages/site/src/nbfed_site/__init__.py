"""The site half of Notebook Federator: what runs inside a hospital.

Small enough to be read by the hospital's security officer. Nothing here imports
``notebook_federator``; only :mod:`nbfed_site.link` talks to the network.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
