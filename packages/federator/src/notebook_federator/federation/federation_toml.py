"""Reads ``federation.toml``; hand edits are welcome, so each mistake is told with its key and line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args
from urllib.parse import urlsplit

from nbfed_site.contracts import DataContract, FederationUnreadable, ReleasePolicy, Scalar, SettingsInvalid

from ..rounds.quorum import Quorum
from ..rounds.settings import Stragglers
from .data_table import contract_from_table
from .federation_settings import JOIN_DEADLINE, FederationSettings, Images, RoundWishes
from .resolving import checked_name
from .settings import Wire
from .toml_table import Table, parse_table

T = TypeVar("T")
_PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\]")


def read_settings(path: Path) -> FederationSettings:
    """The settings in a file.

    Raises:
        FederationUnreadable: it cannot be read, or a key makes no sense; names the key and its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        what = f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}."
        hint = "Name the federation's folder; `nbfed federation init` makes one."
        raise FederationUnreadable(what, where=str(path), hint=hint) from error
    return parse_settings(text, path)


def parse_settings(text: str, path: Path) -> FederationSettings:
    """The settings in a text; ``path`` is told in errors.

    Raises:
        FederationUnreadable: a key makes no sense; names the key and its line.
    """
    top = parse_table(text, path)
    settings = FederationSettings(
        name=top.checked("name", _name, "Write a name of 1 to 64 characters."),
        server=top.checked("server", server_address, 'Write server = "https://HOST:PORT".'),
        sites=top.checked("sites", _sites, "Write names such as hospital-a, each once.", []),
        retention_days=top.checked("retention_days", _above_zero, "Write a number of days.", 365),
        contact=top.checked("contact", _line, "Write one line, such as a name and a telephone number.", ""),
        images=_images(top.table("images")),
        rounds=_rounds(top.table("rounds")),
        policy=_policy(top.table("policy")),
        data=_data(top),
        parameters=top.checked("parameters", _parameters, "Write NAME = VALUE lines.", {}),
    )
    top.end()
    return settings


def server_address(text: str) -> str:
    """``https://HOST:PORT`` in one form.

    Raises:
        ValueError: not such an address.
    """
    parts = urlsplit(text)
    whole = parts.scheme == "https" and not (parts.path.strip("/") or parts.query or parts.fragment)
    if not whole or not _HOST.fullmatch(parts.netloc.rpartition(":")[0] if parts.port else parts.netloc):
        raise ValueError(text)
    return f"https://{parts.netloc.lower()}"


def _name(value: str) -> str:
    if not (1 <= len(value) <= 64 and value.isprintable() and value == value.strip()):
        raise ValueError
    return value


def _line(value: str) -> str:
    if not (value == "" or value.isprintable()):
        raise ValueError
    return value


def _sites(value: list[str]) -> tuple[str, ...]:
    names = tuple(_checked_site(name) for name in value)
    if not isinstance(value, list) or len(set(names)) < len(names):
        raise ValueError
    return names


def _checked_site(name: str) -> str:
    try:
        return checked_name(name)
    except SettingsInvalid as error:
        raise ValueError from error


def _above_zero(value: int) -> int:
    if type(value) is not int or value < 1:
        raise ValueError
    return value


def _matching(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError
    return value


def _images(table: Table) -> Images:
    pinned, digest = "Write NAME@sha256:..., as `nbfed build` recorded it.", "Write sha256:..."
    found = Images(
        server=table.checked("server", lambda value: _matching(_PINNED, value), pinned),
        client=table.checked("client", lambda value: _matching(_PINNED, value), pinned),
        notebook_digest=table.checked("notebook_digest", lambda value: _matching(_DIGEST, value), digest),
        slice_digest=table.checked("slice_digest", lambda value: _matching(_DIGEST, value), digest),
        gpu=table.take("gpu", bool, False),
        key=table.take("key", str, ""),
    )
    table.end()
    return found


def _rounds(table: Table) -> RoundWishes:
    stragglers, wires = get_args(Stragglers), get_args(Wire)
    found = RoundWishes(
        rounds=_optional_count(table, "rounds"),
        epochs=_optional_count(table, "epochs"),
        quorum=_optional(table, "quorum", quorum, 'Write a number of sites ("2") or a share ("60%").'),
        deadline=table.checked("deadline", seconds_or_auto, 'Write "auto" or a number of seconds.', "auto"),
        join_deadline=table.checked("join_deadline", _seconds, "Write a number of seconds.", JOIN_DEADLINE),
        stragglers=table.checked("stragglers", lambda value: _one_of(stragglers, value),
                                 'Write "drop", "wait" or "late".', "drop"),
        strategy=table.optional("strategy", str),
        seed=table.take("seed", int, 0),
        wire=table.checked("wire", lambda value: _one_of(wires, value), 'Write "fp32" or "bf16".', "fp32"),
        alone=table.take("alone", bool, False),
    )  # fmt: skip
    table.end()
    return found


def _optional(table: Table, key: str, check: Callable[[Any], T], hint: str) -> T | None:
    if key not in table.values:
        table.taken.add(key)
        return None
    return table.checked(key, check, hint)


def _optional_count(table: Table, key: str) -> int | None:
    return _optional(table, key, _above_zero, "Write a whole number of 1 or more.")


def quorum(value: str | int) -> str:
    """A quorum as text, ``"2"`` or ``"60%"``.

    Raises:
        ValueError: neither a number of sites of 1 or more nor a share above 0 and up to 100 %.
    """
    try:
        found = Quorum(str(value))
    except SettingsInvalid as error:
        raise ValueError from error
    if isinstance(value, bool) or found.of(1) < 1:
        raise ValueError
    return str(value)


def seconds_or_auto(value: str | float) -> float | None:
    """A number of seconds above 0; None for ``"auto"``.

    Raises:
        ValueError, TypeError: neither.
    """
    return None if value == "auto" else _seconds(value)


def deadline(text: str) -> float | None:
    """An option's value as :func:`seconds_or_auto`.

    Raises:
        ValueError: neither a number above 0 nor ``auto``.
    """
    return seconds_or_auto(text if text == "auto" else float(text))


def _seconds(value: Any) -> float:
    if isinstance(value, bool | str) or not (value > 0 and math.isfinite(value)):
        raise ValueError
    return float(value)


def _one_of(known: tuple[Any, ...], value: Any) -> Any:
    if value not in known:
        raise ValueError
    return value


def _policy(table: Table) -> ReleasePolicy:
    floor = ReleasePolicy()
    found = ReleasePolicy(
        min_examples=table.checked("min_examples", _above_zero, "Write 1 or more.", floor.min_examples),
        metrics=table.checked("metrics", _texts, "Write a list of names.", list(floor.metrics)),
        max_bytes=_optional_count(table, "max_bytes"),
        allow_messages=table.take("allow_messages", bool, floor.allow_messages),
    )
    table.end()
    return found


def _texts(value: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError
    return tuple(value)


def _data(top: Table) -> DataContract:
    try:
        return contract_from_table(top.take("data", dict, {}))
    except FederationUnreadable as error:
        error.where = top.place(error.what.split()[0])
        raise


def _parameters(value: Mapping[str, Scalar]) -> dict[str, Scalar]:
    if not all(isinstance(item, Scalar) for item in value.values()):
        raise ValueError
    return dict(value)
