"""Which Python a base image has, read from its configuration or from the names of its files."""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .shapes import Layer

LABEL = "org.notebook-federator.python"
_OFFICIAL = "/usr/local/bin"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMED = re.compile(r"python(3(?:\.\d+)?)$")
_VERSION = re.compile(r"3\.\d+")
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter in an image: ``/usr/local/bin/python3``, ``3.11``."""

    path: str
    version: str


def told(config: Mapping[str, Any]) -> Python | None:
    """What an image's configuration says of its Python.

    That is the label ``org.notebook-federator.python`` (``/usr/bin/python3:3.11``), else ``PYTHON_VERSION``
    where ``PATH`` begins as in the official images of Python.
    """
    own = config.get("config") or {}
    path, _, version = str((own.get("Labels") or {}).get(LABEL, "")).rpartition(":")
    if path.startswith("/") and _VERSION.fullmatch(version):
        return Python(path, version)
    environment = _environment(config)
    found = _VERSION.match(environment.get("PYTHON_VERSION", ""))
    if found and environment.get("PATH", _OFFICIAL).split(":")[0] == _OFFICIAL:
        return Python(f"{_OFFICIAL}/python3", found[0])
    return None


def listed(config: Mapping[str, Any], layers: Sequence[Layer]) -> Python | None:
    """The first ``python3`` on the image's ``PATH``, by the names in its layers; None where there is none.

    The layers are read once, as streams; no file is kept.
    """
    tree = _Tree()
    for layer in layers:
        tree.lay(_names(layer))
    for folder in _environment(config).get("PATH", _DEFAULT_PATH).split(":"):
        path = posixpath.join(folder, "python3")
        real = tree.real(path)
        if real is not None and (version := tree.version(real)):
            return Python(path, version)
    return None


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    lines = (config.get("config") or {}).get("Env") or []
    return dict(str(line).partition("=")[::2] for line in lines)


@dataclass(frozen=True, slots=True)
class _Name:
    """A name in a layer; ``target`` of a symbolic link, empty for others."""

    name: str
    target: str
    folder: bool


@dataclass(slots=True)
class _Tree:
    """The symbolic links and the Pythons of a file system, laid layer upon layer: each name's link target."""

    found: dict[str, str] = field(default_factory=dict)

    def lay(self, names: Iterator[_Name]) -> None:
        """Put a layer on top: its whiteouts hide what lies below (OCI image specification, "Whiteouts")."""
        above: dict[str, str] = {}
        hidden: set[str] = set()
        emptied: set[str] = set()
        for item in names:
            folder, last = posixpath.split(item.name)
            if last == _OPAQUE:
                emptied.add(folder)
            elif last.startswith(_WHITEOUT):
                hidden.add(posixpath.join(folder, last.removeprefix(_WHITEOUT)))
            elif item.target or (_NAMED.match(last) and not item.folder):
                above[item.name] = item.target
            elif item.name in self.found:
                hidden.add(item.name)
        kept = {name: to for name, to in self.found.items() if not _covered(name, hidden, emptied)}
        self.found = kept | above

    def real(self, path: str) -> str | None:
        """The file that ``path`` leads to through all symbolic links, in the image."""
        todo, at, links = path.split("/"), "", 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            at = posixpath.dirname(at) if part == ".." else posixpath.join(at, part)
            target = self.found.get(at)
            if target:
                links += 1
                if links > _MOST_LINKS:
                    return None
                todo = [*target.split("/"), *todo]
                at = "" if target.startswith("/") else posixpath.dirname(at)
        return at if self.found.get(at) == "" else None

    def version(self, real: str) -> str | None:
        """``3.11`` from the name of the file, or from another name that leads to it."""
        for name in (real, *sorted(self.found)):
            found = _NAMED.match(posixpath.basename(name))
            if found and "." in found[1] and self.real(name) == real:
                return found[1]
        return None


def _covered(name: str, hidden: set[str], emptied: set[str]) -> bool:
    if name in hidden or "" in emptied:
        return True
    folder = posixpath.dirname(name)
    while folder:
        if folder in hidden or folder in emptied:
            return True
        folder = posixpath.dirname(folder)
    return False


def _names(layer: Layer) -> Iterator[_Name]:
    from isal import igzip

    with layer.content.open() as stream:
        plain: Any = stream
        if layer.descriptor.media_type.endswith("gzip"):
            plain = igzip.open(stream, "rb")  # type: ignore[no-untyped-call]
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for item in archive:
                name = posixpath.normpath(item.name).lstrip("/")
                yield _Name(name, item.linkname if item.issym() else "", item.isdir())
                archive.members.clear()  # type: ignore[attr-defined]  # else it keeps all names
        while stream.read(1 << 20):  # to the end, where the digest is checked
            pass
