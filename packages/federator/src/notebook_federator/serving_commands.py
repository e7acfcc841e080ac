"""The commands about a federation's server: `nbfed serve` and `nbfed status`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Answer, answer, output_option

if TYPE_CHECKING:
    from .federation.federation_folder import FederationFolder

_PATH = click.Path(path_type=Path)
_WATCH_SECONDS = 2.0
_CLEAR = "\x1b[H\x1b[J"


@click.command()
@click.argument("folder", type=_PATH, default=Path("."))
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on [default: that of the server's address].")
@click.option("--new-run", "new", is_flag=True, help="Begin the next run; the one before has to be over.")
@click.option("--from", "initial", type=_PATH, metavar="MODEL", help="Begin it from this safetensors file.")
@click.option(
    "--grace",
    type=float,
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Stay so long at the end for sites that are away, so that they hear it.",
)
@output_option
def serve(folder: Path, host: str, port: int | None, output: str, **wish: Any) -> None:
    """Run a federation's server, or go on with its run.

    FOLDER is the federation's, or holds it. With --format json every event is a line of JSON.
    """

    def produce() -> Answer:
        from .federation.current_run import Wish
        from .federation.federation_folder import find_federation
        from .federation.server import Door, end_on_signals
        from .federation.serving import serve_federation
        from .rounds.orders import StopAsked

        federation = find_federation(folder)
        door = Door(host, federation.settings().port if port is None else port)
        end_on_signals()
        try:
            code = serve_federation(federation, door, Wish(**wish), output == "json")
        except StopAsked:
            code = 130
        return _ended(federation, code)

    answer(output, produce)


def _ended(federation: FederationFolder, code: int) -> Answer:
    runs = federation.membership().runs
    newest = max(runs, default=0)
    done = newest > 0 and runs[newest].finished
    text = f"Next: nbfed report {federation.run(newest).path}" if done else ""
    return Answer(text, {"run": newest, "finished": done}, code)


@click.command()
@click.argument("folder", type=_PATH, default=Path("."))
@click.option("--watch", is_flag=True, help="Show it again and again, until the run is over.")
@output_option
def status(folder: Path, watch: bool, output: str) -> None:
    """Show where each site of a federation stands, and what keeps it.

    FOLDER is the federation's, or holds it; the server is asked with the coordinator's certificate in it.
    """

    def produce() -> Answer:
        from .federation.asking import ask_status
        from .federation.federation_folder import find_federation
        from .federation.status_table import status_table

        federation = find_federation(folder)
        if not watch:
            state = ask_status(federation)
            return Answer(status_table(state), state)
        shown = ""
        for state in _states(federation):
            text = status_table(state)
            if output == "human" and sys.stdout.isatty():
                click.echo(f"{_CLEAR}{text}")
            elif _lasting(state) != shown:
                click.echo(text if output == "human" else _line(state))
            shown = _lasting(state)
        return Answer("", state)

    answer(output, produce)


def _states(federation: FederationFolder) -> Iterator[dict[str, Any]]:
    """The state every two seconds, until the run is over.

    Raises:
        CannotConnect: no server answers, and this folder's ledger does not say that the run is over.
    """
    from nbfed_site.contracts import CannotConnect

    from .federation.asking import ask_status

    state: dict[str, Any] = {}
    while not state or state["run"]["state"] not in ("finished", "stopped"):
        try:
            state = ask_status(federation)
        except CannotConnect:
            note = federation.membership().runs.get(state["run"]["number"]) if state else None
            if note is None or not note.finished:
                raise
            state = {**state, "run": {**state["run"], "state": "finished"}}
        yield state
        time.sleep(_WATCH_SECONDS)


def _lasting(state: dict[str, Any]) -> str:
    """The state without what changes with every second."""
    sites = [{**site, "heard_seconds": None} for site in state["sites"]]
    return _line({**state, "at": "", "sites": sites})


def _line(state: dict[str, Any]) -> str:
    from nbfed_site.contracts import canonical_json

    return canonical_json(state).decode()
