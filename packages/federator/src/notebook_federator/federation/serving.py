"""The server of a federation over a network: ``python -I -m notebook_federator.federation.serving serve``.

What the server image runs. Everything is in the federation's folder; the same command goes on with its
run after the last finished round.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from nbfed_site.contracts import CannotConnect, StorageFull
from nbfed_site.options import Parser, answer, folder
from nbfed_site.scratch import Health, Scratch

from ..ledger import Ledger
from ..rounds.orders import StopAsked
from . import decisions
from .asking import ask_here, ask_status
from .current_run import Wish, is_finished, open_run, pick_run
from .edits import settled
from .federation_folder import FederationFolder
from .hosting import Hosting
from .retention import expire
from .server import Door, end_on_signals, serve
from .settings import RunSettings
from .status_table import status_table
from .telling import Teller

_ORDERS = {
    "pause": "begin no new round",
    "resume": "go on with the rounds",
    "stop": "end the run; finished rounds are kept",
}
_SCRATCH, _HOST, _PORT, _GRACE = "/scratch", "0.0.0.0", 9092, 600.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    try:
        return command_line().run(arguments)
    except StopAsked:
        return 130


def command_line() -> Parser:
    """The commands and their options."""
    parser = Parser(prog="nbfed-server", description="The server of a federation.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="run the federation, or go on with it")
    status = commands.add_parser("status", help="where each site stands")
    healthy = commands.add_parser("healthy", help="whether the server answers; for the container engine")
    for command, run in ((serving, _serve), (status, _status), (healthy, _healthy)):
        _add_common(command, run)
    _add_decisions(commands)
    serving.option("--host", "address to listen on", "NBFED_HOST", _HOST)
    serving.option("--port", "port to listen on", "NBFED_PORT", _PORT, type=int)
    about = "seconds to stay at the end for sites that are away, so that they hear it"
    serving.option("--grace", about, "NBFED_GRACE", _GRACE, type=float)
    serving.switch("--new-run", "begin the next run; the one before has to be over")
    serving.option("--from", "model to begin it from, as safetensors", type=folder, dest="initial")
    return parser


def _add_common(command: Parser, run: Callable[[Namespace], int], **more: Any) -> None:
    command.set_defaults(run=run, **more)
    command.output_format()
    about = f"the federation's folder, which is all that is written [NBFED_SCRATCH; {_SCRATCH}]"
    default = folder(os.environ.get("NBFED_SCRATCH") or _SCRATCH)
    command.add_argument("folder", nargs="?", type=folder, default=default, help=about)


def _add_decisions(commands: Any) -> None:
    """What a coordinator decides, where only the server's container is at hand."""
    for what, about in _ORDERS.items():
        _add_common(commands.add_parser(what, help=about), _order)
    for what, about, act in (
        ("waive", "take a site's data as they are", decisions.waive),
        ("remove-site", "take a site out of the federation", decisions.remove_site),
    ):
        command = commands.add_parser(what, help=about)
        command.add_argument("--site", required=True, help="its name")
        command.add_argument("--reason", required=True, help="why; stands in the ledger")
        _add_common(command, _about_site, act=act)
    _add_common(commands.add_parser("expire", help="erase the runs whose time is over"), _expire)


def _order(options: Namespace) -> int:
    return _decided(options, decisions.order(FederationFolder(options.folder), options.command, _now()))


def _about_site(options: Namespace) -> int:
    federation = FederationFolder(options.folder)
    return _decided(options, options.act(federation, options.site, options.reason, _now()))


def _expire(options: Namespace) -> int:
    return _decided(options, expire(FederationFolder(options.folder), _now()))


def _decided(options: Namespace, changed: decisions.Changed) -> int:
    return answer(options.format, "\n".join(changed.done), {"done": list(changed.done)})


def _serve(options: Namespace) -> int:
    end_on_signals()
    federation = FederationFolder(options.folder)
    federation.settings()
    Scratch(federation.server).confine()
    wish = Wish(options.new_run, options.initial, options.grace)
    return serve_federation(federation, Door(options.host, options.port), wish, options.format == "json")


def serve_federation(federation: FederationFolder, door: Door, wish: Wish, as_json: bool) -> int:
    """Serve the federation's current run to its end; the exit code.

    Raises:
        NbfedError: it cannot begin.
    """
    scratch = Scratch(federation.server)
    try:
        scratch.path.mkdir(exist_ok=True)
        scratch.own()
        return _serve_run(federation, door, wish, as_json)
    except OSError as error:
        what = f"The federation's folder cannot be written: {error.strerror or error}."
        raise StorageFull(what, where=str(federation.path), hint="Free some disk space.") from error


def _serve_run(federation: FederationFolder, door: Door, wish: Wish, as_json: bool) -> int:
    with federation.locked():
        number, settings = _begun(federation, wish)
    run = federation.run(number)
    if settings is None:
        print(f"Run {number} is over. The next one begins with: serve --new-run", file=sys.stderr, flush=True)
        return 0
    code = 0
    if not is_finished(run):
        with run.events.open("ab") as log:
            health = Health(Scratch(federation.server).health)
            hosting = Hosting(federation, number, door, Teller(log, health, as_json), wish.grace)
            code = serve(run, settings, hosting)
            hosting.follower.close()
            health.write("ended")
    if is_finished(run):
        _close(federation, number)
    return code


def _begun(federation: FederationFolder, wish: Wish) -> tuple[int, RunSettings | None]:
    """The run to conduct, entered in the ledger, and its settings; None where it is over."""
    with federation.open_ledger() as ledger:
        ledger.verify(federation.public_key.read_text())
        _, membership = settled(federation, _now())
        number = pick_run(membership, wish)
        if number is None:
            return max(membership.runs), None
        settings = open_run(federation, membership, number, wish)
        if number not in membership.runs:
            ledger.append("run_started", run=number)
    return number, settings


def _close(federation: FederationFolder, number: int) -> None:
    """Note in the federation's ledger how the run's own ended."""
    with Ledger.read(federation.run(number).ledger) as ledger:
        entries, head = ledger.head()
    with federation.open_ledger() as ledger:
        ledger.append("run_finished", run=number, entries=entries, head=head)


def _status(options: Namespace) -> int:
    state = ask_status(FederationFolder(options.folder))
    return answer(options.format, status_table(state), state)


def _healthy(options: Namespace) -> int:
    """As the container engine sees it: whether the server in this folder answers its coordinator."""
    reason = ""
    try:
        ask_here(FederationFolder(options.folder))
    except CannotConnect as error:
        reason = error.what
    return answer(options.format, reason or "listening", {"reason": reason}, int(bool(reason)))


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
