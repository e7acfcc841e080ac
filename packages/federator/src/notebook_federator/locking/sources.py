"""Where wheels come from: what the user gives, then `uv`'s own configuration, then pip's."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbfed_site.contracts import SettingsInvalid

from .files import local_path
from .shapes import Sources

_UV_INDEXES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
_ENVIRONMENT = {"cert": ("SSL_CERT_FILE",), "proxy": ("HTTPS_PROXY", "HTTP_PROXY")}
_SCOPES = ("global", "install", ":env:")
_LINE = re.compile(r"(?P<scope>global|install|:env:)\.(?P<option>[\w-]+)=(?P<value>.+)")


@dataclass(frozen=True, slots=True)
class Settings:
    """What `uv` is told about sources.

    Attributes:
        folders: folders of wheels on this machine, the user's own first.
        pages: flat pages of wheels, as URLs.
        indexes: all but the default one, the first to ask first.
        default_index: instead of the Python Package Index.
        strategy: how `uv` chooses between several indexes; empty for its own default.
        no_index: look in folders and pages only.
        trusted: hosts whose certificates are not checked.
        environment: variables to set for `uv`.
        own_indexes: whether `uv`'s own variables name indexes.
    """

    folders: tuple[Path, ...] = ()
    pages: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    default_index: str | None = None
    strategy: str = ""
    no_index: bool = False
    trusted: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    own_indexes: bool = False

    @property
    def beyond_pypi(self) -> bool:
        """Whether more than the Python Package Index and folders is asked."""
        return bool(self.pages or self.indexes or self.default_index or self.own_indexes)

    def arguments(self) -> list[str]:
        """The settings as `uv pip compile` takes them."""
        found = [f"--default-index={self.default_index}"] if self.default_index else []
        found += [f"--index={index}" for index in self.indexes]
        found += [f"--find-links={place}" for place in (*self.folders, *self.pages)]
        found += [f"--index-strategy={self.strategy}"] if self.strategy else []
        found += [f"--allow-insecure-host={host}" for host in self.trusted]
        return found + (["--no-index"] if self.no_index else [])


def settings_of(sources: Sources, environ: Mapping[str, str]) -> Settings:
    """The user's sources, completed from pip's configuration where no ``UV_*`` variable speaks.

    pip takes the best version of all its indexes, so `uv` is told to do so too where pip names them;
    the user's own indexes are asked first.

    Raises:
        SettingsInvalid: a folder of the user is not there.
    """
    pip = pip_options(environ)
    own = any(environ.get(name) for name in _UV_INDEXES)
    configured = {} if own else pip
    folders, pages = _given(sources.wheels)
    if not environ.get("UV_FIND_LINKS"):
        more, others = _places(pip.get("find-links", "").split())
        folders, pages = (*folders, *more), (*pages, *others)
    extra = tuple(configured.get("extra-index-url", "").split())
    several = extra and not environ.get("UV_INDEX_STRATEGY")
    best = "unsafe-first-match" if sources.indexes else "unsafe-best-match"
    return Settings(
        folders=tuple(dict.fromkeys(folders)),
        pages=tuple(dict.fromkeys(pages)),
        indexes=tuple(dict.fromkeys((*sources.indexes, *extra))),
        default_index=sources.default_index or configured.get("index-url"),
        strategy=best if several else "",
        no_index=pip.get("no-index", "") in ("1", "true", "yes", "on") and not _names_index(sources),
        trusted=tuple(configured.get("trusted-host", "").split()),
        environment={
            name: pip[option]
            for option, names in _ENVIRONMENT.items()
            for name in names
            if option in pip and not (environ.get(name) or environ.get(name.lower()))
        },
        own_indexes=own,
    )


def pip_options(environ: Mapping[str, str]) -> dict[str, str]:
    """pip's options by their long names; from pip itself where it is installed, else from ``PIP_*``."""
    found: dict[str, str] = {}
    listed = _configured(environ)
    for scope in _SCOPES:
        found.update((option, value) for known, option, value in listed if known == scope)
    return found


def _configured(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    from importlib.util import find_spec

    if find_spec("pip") is None:
        plain = ((name[4:], value) for name, value in environ.items() if name.startswith("PIP_"))
        return [(":env:", name.lower().replace("_", "-"), value) for name, value in plain]
    import subprocess

    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(environ), check=False)
    return list(_parsed(done.stdout.splitlines()))


def _parsed(lines: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """``(scope, option, value)`` of the lines that `pip config list` prints."""
    for line in lines:
        if match := _LINE.fullmatch(line):
            option = match["option"].lower().replace("_", "-")
            yield match["scope"], option, str(ast.literal_eval(match["value"]))


def _given(wheels: Sequence[str]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    folders, pages = _places(wheels)
    missing = [place for place in wheels if "://" not in place and not Path(place).expanduser().is_dir()]
    if missing:
        hint = "Name a folder that holds .whl files, or the URL of a page that links to them."
        raise SettingsInvalid("There is no such folder of wheels.", where=missing[0], hint=hint)
    return folders, pages


def _places(given: Sequence[str]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Folders that exist (pip passes over others), and pages."""
    folders, pages = [], []
    for place in given:
        local = local_path(place) if "://" in place else Path(place).expanduser()
        if local is None:
            pages.append(place)
        elif local.is_dir():
            folders.append(Path(os.path.abspath(local)))
    return tuple(folders), tuple(pages)


def _names_index(sources: Sources) -> bool:
    return bool(sources.indexes or sources.default_index)
