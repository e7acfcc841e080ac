"""Writes ``federation.toml`` and changes it where that leaves a coordinator's own lines as they are."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from nbfed_site.contracts import FederationUnreadable

from .federation_folder import write
from .federation_settings import FederationSettings, Images, plain
from .federation_toml import parse_settings

_SITES = re.compile(r"^sites\s*=\s*\[[^\]]*\]", re.MULTILINE)


def text_of(settings: FederationSettings) -> str:
    """A new ``federation.toml``."""
    import tomli_w  # not in a server image, which only changes what there is

    head = "# A federation's settings. Edit what you like: every change is recorded in the ledger when a\n"
    head += "# command of `nbfed federation` runs, or the server starts.\n\n"
    return head + tomli_w.dumps(plain(settings))


def change(path: Path, **fields: object) -> FederationSettings:
    """Give fields of the settings in a file new values; comments stay wherever that is possible.

    Raises:
        FederationUnreadable: the file makes no sense.
    """
    text = path.read_text(encoding="utf-8")
    before = parse_settings(text, path)
    after = dataclasses.replace(before, **fields)  # type: ignore[arg-type]
    if after != before:
        write(path, _edited(text, path, before, after).encode())
    return after


def _edited(text: str, path: Path, before: FederationSettings, after: FederationSettings) -> str:
    """The text with the new values put in place of the old; written anew where that does not do."""
    sites = _line("sites", list(after.sites))
    found = _SITES.sub(lambda match: sites, text, count=1)
    for field in dataclasses.fields(Images):
        old, new = (_line(field.name, getattr(item.images, field.name)) for item in (before, after))
        found = found.replace(old, new, 1)
    try:
        return found if parse_settings(found, path) == after else text_of(after)
    except FederationUnreadable:
        return text_of(after)


def _line(name: str, value: object) -> str:
    """``NAME = VALUE``; texts, lists of texts, and booleans are written in TOML as in JSON."""
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"
