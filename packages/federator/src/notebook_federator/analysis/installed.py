"""What is installed here: which distributions serve a module, and in which version.

Answers as ``importlib.metadata.packages_distributions()`` does, but reads no more than it must: that
function parses every file list and every description of the environment, which takes longer than all the
rest of an analysis.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import all_suffixes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

Metadata = Callable[[str], str]
"""Gives the text of a metadata file of one distribution (``RECORD``); empty where there is none."""
_State = tuple[tuple[str, int], ...]


def distributions_of(module: str) -> tuple[str, ...]:
    """Names of the distributions that hold the top-level ``module``, sorted.

    An editable installation that leaves only a path file holds none.
    """
    found = _by_module(_state()).get(module, ())
    return tuple(sorted({name for metadata in found if (name := _header(metadata, "Name"))}))


def version_of(distribution: str) -> str:
    """The version of ``distribution``, or empty where it is not installed."""
    metadata = _by_name(_state()).get(normalised(distribution))
    return _header(metadata, "Version") if metadata else ""


def normalised(name: str) -> str:
    """A distribution name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _state() -> _State:
    """The import path with the times of its entries, which change when something is installed there."""
    found = []
    for entry in dict.fromkeys(path or os.curdir for path in sys.path):
        try:
            found.append((entry, os.stat(entry).st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


@functools.lru_cache(maxsize=1)
def _by_name(state: _State) -> Mapping[str, Metadata]:
    found: dict[str, Metadata] = {}
    for name, metadata in _installed(state):
        found.setdefault(normalised(name), metadata)
    return found


@functools.lru_cache(maxsize=1)
def _by_module(state: _State) -> Mapping[str, list[Metadata]]:
    found: dict[str, list[Metadata]] = {}
    for _, metadata in _installed(state):
        for module in _modules(metadata):
            found.setdefault(module, []).append(metadata)
    return found


def _installed(state: _State) -> Iterator[tuple[str, Metadata]]:
    """Every distribution on the import path, by name; the same name may come twice."""
    for entry, _ in state:
        if not os.path.isdir(entry):
            yield from _in_archive(entry)
            continue
        for child in os.listdir(entry):
            if child.lower().endswith((".dist-info", ".egg-info")):
                name = child.rpartition(".")[0].partition("-")[0]
                yield name, functools.partial(_read, os.path.join(entry, child))


def _in_archive(path: str) -> Iterator[tuple[str, Metadata]]:
    from importlib import metadata

    for found in metadata.distributions(path=[path]):
        yield found.metadata["Name"], functools.partial(_read_archived, found)


def _read_archived(found: Distribution, file: str) -> str:
    return found.read_text(file) or ""


def _read(folder: str, file: str) -> str:
    try:
        with open(os.path.join(folder, file) if file else folder, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return ""


def _modules(metadata: Metadata) -> set[str]:
    """Top-level names that a distribution declares or, where it declares none, has files for."""
    if declared := metadata("top_level.txt").split():
        return set(declared)
    files = metadata("RECORD") or metadata("SOURCES.txt")
    heads = {line.partition("/")[0] for line in files.splitlines()}
    return {module for head in heads if (module := _module(head))}


def _module(head: str) -> str:
    """The module of a first part of a listed path: a folder, or a file with its hash and size."""
    file, comma, _ = head.partition(",")
    if comma and not file.endswith(tuple(all_suffixes())):
        return ""
    return file.partition(".")[0] if comma else head


def _header(metadata: Metadata, field: str) -> str:
    """One field of the core metadata, without parsing the description that follows."""
    text = metadata("METADATA") or metadata("PKG-INFO") or metadata("")
    match = re.search(rf"^{field}:[ \t]*(.*?)\s*$", text.partition("\n\n")[0], re.MULTILINE)
    return match[1] if match else ""
