"""An image's configuration as instructions of a Dockerfile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nbfed_site.contracts import BadInput

_DURATIONS = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start-period"}
_SECOND = 1_000_000_000  # in the nanoseconds of Docker's image configuration


def instructions(configuration: Mapping[str, Any]) -> list[str]:
    """The lines that give an image this ``config`` object; the base's own settings are overridden.

    Raises:
        BadInput: a field or value that cannot be written in a Dockerfile.
    """
    given = {name: value for name, value in configuration.items() if value}
    if unknown := sorted(given.keys() - _WRITERS.keys()):
        raise BadInput(f"A Dockerfile is not written with the image setting {unknown[0]}.")
    return [line for name, write in _WRITERS.items() if name in given for line in write(given[name])]


def _pairs(instruction: str, pairs: Iterable[Sequence[str]]) -> list[str]:
    """One instruction for all, so that it makes one entry in the image's history."""
    written = [f"{name}={_quoted(name, value)}" for name, value in pairs]
    indent = " " * (len(instruction) + 1)
    return [f"{instruction} " + f" \\\n{indent}".join(written)]


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


_WRITERS: Mapping[str, Callable[[Any], list[str]]] = {
    "Labels": lambda pairs: _pairs("LABEL", pairs.items()),
    "Env": lambda lines: _pairs("ENV", (line.split("=", 1) for line in lines)),
    "ExposedPorts": lambda ports: [f"EXPOSE {port}" for port in sorted(ports)],
    "StopSignal": lambda signal: [f"STOPSIGNAL {signal}"],
    "WorkingDir": lambda folder: [f"WORKDIR {folder}"],
    "User": lambda user: [f"USER {user}"],
    "Healthcheck": lambda check: [_healthcheck(check)],
    "Entrypoint": lambda command: [f"ENTRYPOINT {_words(command)}"],
    "Cmd": lambda command: [f"CMD {_words(command)}"],
}
