"""The server of a federation whose sites are named by options, until kits do it."""

from __future__ import annotations

import dataclasses
import http.client
import ssl
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from nbfed_site.contracts import SettingsInvalid, StorageFull
from nbfed_site.options import Parser, folder, literals, pair, wire
from nbfed_site.scratch import Health, Scratch, read_health

from .current_run import is_finished
from .folder import RunFolder
from .remote_run import open_run
from .server import Door, FixedVenue, end_on_signals, serve
from .settings import Options
from .telling import Teller

_SLICE = "/app/slice"
_JOIN_SECONDS = 86_400.0
_HEALTHY_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def add_options(parser: Parser) -> None:
    """Everything that a federation's folder says otherwise."""
    parser.option("--slice", "folder of the slice's manifest.json", "NBFED_SLICE", _SLICE, type=folder)
    parser.option("--certificate", "PEM file of the server's certificate", "NBFED_CERTIFICATE", type=folder)
    parser.option("--certificate-key", "PEM file of its private key", "NBFED_CERTIFICATE_KEY", type=folder)
    parser.switch("--plain-http", "serve without TLS")
    parser.add_argument(
        *("--site",), type=pair, action="append", default=[], metavar="NAME=KEY",
        help="a member, and the line that its command `key` printed",
    )  # fmt: skip
    parser.option("--rounds", "federated rounds; default: the notebook's", "NBFED_ROUNDS", type=int)
    parser.option("--epochs", "local epochs per round; default: the notebook's", "NBFED_EPOCHS", type=int)
    parser.option("--strategy", "such as fedprox:proximal_mu=0.1; default: the notebook's", "NBFED_STRATEGY")
    parser.option("--quorum", "sites that make a round: 2 or 60%%; default: all", "NBFED_QUORUM")
    parser.option("--deadline", "seconds that a round may take", "NBFED_DEADLINE", 1800.0, type=float)
    about = "seconds until all sites have to be here"
    parser.option("--join-deadline", about, "NBFED_JOIN_DEADLINE", _JOIN_SECONDS, type=float)
    parser.option("--seed", "of the whole run", "NBFED_SEED", 0, type=int)
    parser.option("--wire", "precision of arrays sent: fp32, bf16", "NBFED_WIRE", "fp32", type=wire)
    parser.option("--min-examples", "fewest samples of an update", "NBFED_MIN_EXAMPLES", 10, type=int)
    parser.switch("--alone", "also train each institution alone, for the comparison")
    parser.add_argument(
        *("--set",), type=pair, action="append", default=[], metavar="NAME=VALUE",
        help="a parameter of the notebook, for all sites",
    )  # fmt: skip


def serve_by_flags(options: Namespace) -> int:
    """Run the federation that the options describe, or go on with it."""
    end_on_signals()
    scratch = Scratch(options.folder)
    scratch.confine()
    scratch.own()
    run, door, keys = RunFolder(scratch.path / "run"), _door(options), _keys(options.site)
    try:
        open_run(run, options.slice, _options(options, tuple(keys)), keys)
        if is_finished(run):
            print(f"The run in {run.path} is finished.", file=sys.stderr, flush=True)
            return 0
        with run.events.open("ab") as log:
            tell = Teller(log, Health(scratch.health), door.certificate is not None, options.format == "json")
            return serve(run, run.settings(), FixedVenue(door, keys, tell))
    except OSError as error:
        what = f"The run folder cannot be written: {error.strerror or error}."
        raise StorageFull(what, where=str(run.path), hint="Free some disk space.") from error


def _options(options: Namespace, sites: tuple[str, ...]) -> Options:
    names = {item.name for item in dataclasses.fields(Options)} - {"sites", "parameters", "port"}
    chosen = {name: value for name, value in vars(options).items() if name in names}
    return Options(sites=sites, parameters=literals(dict(options.set)), **chosen)


def _keys(sites: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    """Public keys (PEM) by site.

    Raises:
        SettingsInvalid: no site, a site or a key given twice, or not a key.
    """
    from nbfed_site.link import key_from_line

    keys = {name: key_from_line(line) for name, line in sites}
    if not keys or len(keys) < len(sites) or len(set(keys.values())) < len(sites):
        hint = "Give --site NAME=KEY once for each; the site prints KEY with its command `key`."
        raise SettingsInvalid("A federation needs sites, each with a name and a key of its own.", hint=hint)
    return keys


def _door(options: Namespace) -> Door:
    """Where to listen.

    Raises:
        SettingsInvalid: no certificate, or one that cannot be used.
    """
    certificate, key = options.certificate, options.certificate_key
    if certificate is None and key is None and (options.plain_http or options.host in _LOOPBACK):
        return Door(options.host, options.port)
    if certificate is None or key is None or options.plain_http:
        what = "A server that others reach needs TLS: without, anyone on the way could change models."
        hint = "Give --certificate and --certificate-key; or --plain-http where something else encrypts."
        raise SettingsInvalid(what, hint=hint)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:
        what = f"Certificate and key cannot be used: {error}."
        raise SettingsInvalid(what, where=f"{certificate}, {key}") from error
    return Door(options.host, options.port, certificate, key)


def ailment_by_flags(scratch: Path) -> str:
    """Why the server does not answer on its own machine; empty where it does."""
    noted = read_health(Scratch(scratch).health)
    if noted.get("state") != "listening":
        return f"The server is not listening: {noted.get('state', 'it has not begun')}."
    host, _, port = noted["address"].rpartition(":")
    here = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host).strip("[]")
    connection = _connection(here, int(port), noted["tls"])
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        return f"The server does not answer: {error}."
    finally:
        connection.close()
    return ""


def _connection(host: str, port: int, tls: bool) -> http.client.HTTPConnection:
    """To this machine's own server, whose certificate names another address."""
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=_HEALTHY_SECONDS)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_HEALTHY_SECONDS, context=context)
