"""Command line options, each of which the environment can give too: flag before ``NBFED_*`` variable."""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from .contracts import BadInput, NbfedError, Scalar


class Parser(argparse.ArgumentParser):
    """A parser that raises :class:`BadInput`, so that a wrong call ends as every bad input does."""

    def __init__(self, **more: Any) -> None:
        super().__init__(allow_abbrev=False, **more)

    def run(self, arguments: list[str] | None) -> int:
        """Run the command that is called for; its exit code, or that of its error."""
        try:
            options = self.parse_args(arguments)
            return int(options.run(options))
        except NbfedError as error:
            print(f"{error.code}: {error}", file=sys.stderr, flush=True)
            return error.exit_code

    def error(self, message: str) -> NoReturn:
        """Refuse the call."""
        raise BadInput(f"{message[:1].upper()}{message[1:]}.", hint=f"See {self.prog} --help")

    def option(self, flag: str, about: str, variable: str = "", default: Any = None, **more: Any) -> None:
        """Add an option whose default is the environment's, where it sets ``variable``."""
        given = os.environ.get(variable) or default
        shown = "; ".join(filter(None, (variable, str(default or ""))))
        self.add_argument(flag, default=given, help=f"{about} [{shown}]" if shown else about, **more)

    def switch(self, flag: str, about: str) -> None:
        """Add an option without a value."""
        self.add_argument(flag, action="store_true", help=about)

    def output_format(self) -> None:
        """Add ``--format``."""
        self.add_argument("--format", choices=("human", "json"), default="human", help="readable, or JSON")


def folder(text: str) -> Path:
    """A path as an option's value: absolute, whatever the working directory becomes."""
    return Path(text).absolute()


def pair(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` as an option's value."""
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def share(text: str) -> dict[str, int]:
    """``K/N``, 1-based, as the fields of a ``Partition``."""
    index, _, count = text.partition("/")
    return {"index": int(index) - 1, "count": int(count)}


def literals(pairs: Mapping[str, str]) -> dict[str, Scalar]:
    """Texts as numbers and booleans where they read so: ``{"lr": "0.1"}`` -> ``{"lr": 0.1}``."""
    found: dict[str, Scalar] = {}
    for name, text in pairs.items():
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        found[name] = value if isinstance(value, Scalar) else text
    return found


def answer(output: str, text: str, data: Mapping[str, Any], exit_code: int = 0) -> int:
    """Text for people, or one JSON envelope, on standard output; returns the exit code."""
    if output == "json":
        status = "failed" if exit_code else "ok"
        envelope = {"schema_version": 1, "status": status, "exit_code": exit_code, "data": data}
        print(json.dumps(envelope), flush=True)
    elif text:
        print(text, flush=True)
    return exit_code
