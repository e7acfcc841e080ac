"""What a site's operator calls: doctor, approve, up, healthy."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .contracts import Manifest, NbfedError
from .events import EventLog, Narrator, Tell
from .kit import KitFolder, read_kit
from .options import Parser, answer, folder, pair, share
from .scratch import Health, Scratch, ailment
from .settings import Settings, from_kit, read_settings
from .up import run_site

if TYPE_CHECKING:
    from .enrolling import Enrolment

_KIT, _SLICE, _SCRATCH = "/kit", "/app/slice", "/scratch"
_DAY = 86_400


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command_line().run(arguments)


def command_line() -> Parser:
    """The commands and their options."""
    parser = Parser(prog="nbfed-site", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    abouts = {
        _doctor: "look for whatever could keep this site from training",
        _approve: "allow what the kit names to run here, after something else was allowed",
        _up: "take part in the federation until the run is over",
        _healthy: "whether the site is registered with the server now; for the container engine",
    }
    made = []
    for run, about in abouts.items():
        made.append(commands.add_parser(run.__name__[1:], help=about, description=about))
        made[-1].set_defaults(run=run)
        made[-1].output_format()
        made[-1].option("--scratch", "the only folder written to", "NBFED_SCRATCH", _SCRATCH, type=folder)
    doctor, approve, up, _ = made
    for command in (doctor, approve, up):
        command.option("--kit", "the folder that the coordinator gave", "NBFED_KIT", _KIT, type=folder)
        command.option("--slice", "what the notebook was cut to", "NBFED_SLICE", _SLICE, type=folder)
    for command in (doctor, up):
        about = "the site's data; default: /data, where there is one"
        command.option("--data", about, "NBFED_DATA", type=folder)
        about = "share K/N of the notebook's own data, such as 1/3"
        command.option("--share", about, "NBFED_SHARE", type=share)
        command.option("--set", "NAME=VALUE of a parameter", default=[], type=pair, action="append")
    about = "fewest samples of an update; no less than the kit's policy says"
    up.option("--min-examples", about, "NBFED_MIN_EXAMPLES", type=int)
    up.switch("--allow-messages", "let the text of the notebook's errors leave, where the kit's policy does")
    about = "end when the server was out of reach for so many seconds"
    up.option("--give-up", about, "NBFED_GIVE_UP", _DAY, type=float)
    up.option("--settings", "a JSON file in place of all other options", type=Path)
    return parser


def _doctor(options: Namespace) -> int:
    from .doctor import examine

    findings = []
    for finding in examine(options, Scratch(options.scratch)):
        findings.append(finding)
        if options.format == "human":
            print(finding.text(), flush=True)
    code = int(any(finding.level == "no" for finding in findings))
    return answer(options.format, "", {"findings": [asdict(finding) for finding in findings]}, code)


def _approve(options: Namespace) -> int:
    from .enrolling import Enrolment

    scratch, (_, kit) = _own(options), _kit(options)
    given = Enrolment.begin(kit, scratch).approve()
    text = "\n".join(f"{name:8}{value}" for name, value in given.items())
    return answer(options.format, f"May run here from now on:\n{text}", given)


def _own(options: Namespace) -> Scratch:
    scratch = Scratch(options.scratch)
    scratch.confine()
    scratch.own()
    return scratch


def _kit(options: Namespace) -> tuple[Manifest, KitFolder]:
    from .program import read_slice

    manifest = read_slice(options.slice).manifest
    return manifest, read_kit(options.kit, manifest.slice_digest)


def _healthy(options: Namespace) -> int:
    reason = ailment(Scratch(options.scratch).health, time.time())
    return answer(options.format, reason or "registered", {"reason": reason}, int(bool(reason)))


def _up(options: Namespace) -> int:
    if options.settings is not None:
        settings = read_settings(options.settings)
        log = EventLog(settings.events)
        return _follow(lambda: (settings, None), [log], [log])
    scratch = _own(options)
    health = Health(scratch.health)
    logs = [EventLog(str(scratch.events), leave_out=("progress",))]
    logs += [EventLog(1)] if options.format == "json" else []
    others = [health] if options.format == "json" else [health, Narrator()]
    return _follow(partial(_with_kit, options, scratch), logs, [*logs, *others], health.beat)


def _with_kit(options: Namespace, scratch: Scratch) -> tuple[Settings, Enrolment | None]:
    from .enrolling import Enrolment

    manifest, kit = _kit(options)
    return from_kit(options, scratch, manifest, kit), Enrolment.begin(kit, scratch)


def _follow(
    prepare: Callable[[], tuple[Settings, Enrolment | None]],
    logs: list[EventLog],
    listeners: Sequence[Tell],
    on_beat: Callable[[], None] = lambda: None,
) -> int:
    def tell(event: str, fields: Mapping[str, Any]) -> None:
        for listener in listeners:
            listener(event, fields)

    try:
        settings, enrolment = prepare()
        run_site(settings, tell, on_beat, enrolment)
    except NbfedError as error:
        for log in logs:
            log("failed", {"code": error.code, "what": error.what, "where": error.where, "hint": error.hint})
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
