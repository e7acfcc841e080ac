"""An image's configuration as instructions of a Dockerfile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nbfed_site.contracts import BadInput

_KNOWN = frozenset(
    {"Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "StopSignal", "User", "WorkingDir"}
)
_DURATIONS = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start-period"}
_SECOND = 1_000_000_000  # in the nanoseconds of Docker's image configuration


def instructions(configuration: Mapping[str, Any]) -> list[str]:
    """The lines that give an image this ``config`` object; the base's own settings are overridden.

    Raises:
        BadInput: a field or value that cannot be written in a Dockerfile.
    """
    unknown = sorted(name for name, value in configuration.items() if value and name not in _KNOWN)
    if unknown:
        raise BadInput(f"A Dockerfile is not written with the image setting {unknown[0]}.")
    get = configuration.get
    environment = (line.split("=", 1) for line in get("Env") or ())
    return [
        *_pairs("LABEL", (get("Labels") or {}).items()),
        *_pairs("ENV", environment),
        *(f"EXPOSE {port}" for port in sorted(get("ExposedPorts") or ())),
        *([f"STOPSIGNAL {get('StopSignal')}"] if get("StopSignal") else []),
        *([f"WORKDIR {get('WorkingDir')}"] if get("WorkingDir") else []),
        *([f"USER {get('User')}"] if get("User") else []),
        *([_healthcheck(get("Healthcheck"))] if get("Healthcheck") else []),
        *([f"ENTRYPOINT {_words(get('Entrypoint'))}"] if get("Entrypoint") else []),
        *([f"CMD {_words(get('Cmd'))}"] if get("Cmd") else []),
    ]


def _pairs(instruction: str, pairs: Any) -> list[str]:
    """One instruction with a pair a line, so that it makes one entry in the image's history."""
    written = [f"{name}={_quoted(name, value)}" for name, value in pairs]
    indent = " " * (len(instruction) + 1)
    return [f"{instruction} " + f" \\\n{indent}".join(written)] if written else []


def _quoted(name: str, value: str) -> str:
    """In double quotes, with nothing left to expand (Dockerfile reference, "Environment replacement")."""
    if not value.isprintable():
        raise BadInput(
            f"{name} holds a line break or control character, which a Dockerfile cannot.",
            hint="Rename the notebook, or change the label.",
        )
    for special in ("\\", '"', "$"):
        value = value.replace(special, f"\\{special}")
    return f'"{value}"'


def _words(command: Sequence[str]) -> str:
    """The exec form: a JSON array, in which nothing is expanded."""
    return json.dumps(list(command), ensure_ascii=False)


def _healthcheck(check: Mapping[str, Any]) -> str:
    kind, *command = check["Test"]
    if kind == "NONE":
        return "HEALTHCHECK NONE"
    if kind != "CMD":
        raise BadInput(f"A health check of kind {kind} is not written into a Dockerfile.")
    options = [
        f"--{option}={check[name] // _SECOND}s" for name, option in _DURATIONS.items() if check.get(name)
    ]
    retries = [f"--retries={check['Retries']}"] if check.get("Retries") else []
    return " ".join(["HEALTHCHECK", *options, *retries, "CMD", _words(command)])
