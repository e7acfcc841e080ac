"""The coordinator's question: where does the federation stand?"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from nbfed_site.contracts import CannotConnect, FederationUnreadable
from nbfed_site.scratch import read_health

from .edits import unrecorded
from .federation_folder import FederationFolder

_SECONDS = 10.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


def ask_status(folder: FederationFolder) -> dict[str, Any]:
    """The live state, from the server that works in this folder; or from the one that sites call.

    ``unrecorded`` in it names what was edited in this folder's ``federation.toml``, and no server knows of.

    Raises:
        CannotConnect: no server answers.
        FederationUnreadable: a key or certificate of the folder cannot be used, or its settings.
    """
    settings = folder.settings()
    try:
        state = ask_here(folder)
    except CannotConnect:
        state = _ask(folder, settings.server, own=False)
    return {**state, "unrecorded": list(unrecorded(settings, folder.membership()))}


def ask_here(folder: FederationFolder) -> dict[str, Any]:
    """The live state, from the server that works in this folder.

    Raises:
        CannotConnect: none answers.
        FederationUnreadable: a key or certificate of the folder cannot be used.
    """
    if (address := _here(folder)) is None:
        raise CannotConnect("The server is not listening.", where=str(folder.path), hint=_advice(folder))
    return _ask(folder, address, own=True)


def _advice(folder: FederationFolder) -> str:
    """What to do about a server that does not answer; it ends with its run."""
    runs = folder.membership().runs
    if runs and runs[max(runs)].finished:
        return f"Run {max(runs)} is finished: nbfed report {folder.run(max(runs)).path}"
    return "Start it: nbfed serve, or `docker compose up --detach` in the federation's folder."


def _here(folder: FederationFolder) -> str | None:
    """Where the server listens that works in this folder on this machine, as it noted itself."""
    noted = read_health(folder.server / "health.json")
    if noted.get("state") != "listening":
        return None
    host, _, port = str(noted["address"]).rpartition(":")
    return f"https://{_EVERYWHERE.get(host, host)}:{port}"


def _ask(folder: FederationFolder, address: str, own: bool) -> dict[str, Any]:
    """Ask at one address; the folder's ``own`` server need not be called by the name in its certificate."""
    handlers: list[Any] = [urllib.request.HTTPSHandler(context=_context(folder, own))]
    if own:
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(f"{address}/v1/status", timeout=_SECONDS) as response:
            found: dict[str, Any] = json.load(response)
            return found
    except urllib.error.HTTPError as error:
        what = f"The server answered {error.code}: {error.read(500).decode(errors='replace')}"
        raise CannotConnect(what, where=address) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        what = f"The server does not answer: {reason}."
        raise CannotConnect(what, where=address, hint=_advice(folder)) from error


def _context(folder: FederationFolder, own: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=folder.certificate("authority"))
        context.load_cert_chain(folder.certificate("coordinator"), folder.key("coordinator"))
    except OSError as error:
        hint = "Restore the folder keys/ from a copy of the federation's folder."
        what = f"The coordinator's certificate cannot be used: {error}."
        raise FederationUnreadable(what, where=str(folder.keys), hint=hint) from error
    context.check_hostname = not own
    return context
