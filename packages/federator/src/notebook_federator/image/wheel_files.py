"""What a wheel puts where in an image (packaging.python.org, "Binary distribution format")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..locking.shapes import LockedWheel
from .errors import WheelDamaged
from .places import PYTHON, VENV, site_packages
from .stripping import COMPILING, LeftOut, Rule, rule_for
from .wheel_metadata import (
    check_version,
    dist_info,
    read_record,
    record_hash,
    scripts,
    written_record,
)
from .wheel_zip import MOST_IN_MEMORY, Member, read_members, read_small

__all__ = ["LeftOut", "WheelContents", "WheelFile", "damaged", "read_wheel"]

_RECORDS = ("RECORD", "RECORD.jws", "RECORD.p7s")  # the last two sign a RECORD that is written anew
_HEADERS = Rule("*", "*.data/headers/*", COMPILING)


@dataclass(frozen=True, slots=True)
class WheelFile:
    """One file of the layer: ``path`` in it, its bytes or the member of the wheel that holds them.

    ``hash`` is the one of ``RECORD``: ``sha256=...``, or empty where the wheel has none.
    """

    path: str
    mode: int
    source: Member | bytes
    hash: str

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return self.source.size if isinstance(self.source, Member) else len(self.source)


@dataclass(frozen=True, slots=True)
class WheelContents:
    """The files of one wheel, sorted by path, and what was left out."""

    files: tuple[WheelFile, ...]
    left_out: tuple[LeftOut, ...]


def read_wheel(path: Path, wheel: LockedWheel, python: str) -> WheelContents:
    """What the wheel puts into a layer. Reads the zip's directory and the small members that matter.

    Raises: WheelDamaged when it is not a wheel of this distribution, or has a name or size that no wheel has.
    """
    try:
        return _Wheel(path, wheel, python).contents()
    except ValueError as error:
        raise damaged(wheel, str(error)) from error


def damaged(wheel: LockedWheel, problem: str) -> WheelDamaged:
    """The error for what is wrong inside a wheel."""
    return WheelDamaged(
        f"{wheel.filename} cannot be used: {problem}.",
        where=wheel.url,
        hint="write the lock again with another version, or get the wheel from a source you trust",
    )


class _Wheel:
    """One wheel while its files are placed; every method raises ValueError for what a wheel may not hold."""

    def __init__(self, path: Path, wheel: LockedWheel, python: str) -> None:
        self._path = path
        self._name = wheel.name
        self._site = site_packages(python)
        self._members = read_members(path)
        self._info = dist_info(self._members, wheel)
        check_version(self._read(f"{self._info}/WHEEL"))
        self._hashes = read_record(self._read(f"{self._info}/RECORD"))

    def contents(self) -> WheelContents:
        files: dict[str, WheelFile] = {}
        rule_of, out = rule_for(self._name), defaultdict[Rule, list[int]](list)
        for name in self._members.keys() - {f"{self._info}/{record}" for record in _RECORDS}:
            path = self._place(name)
            rule = _HEADERS if path is None else rule_of(path.removeprefix(f"{self._site}/"))
            if path is None or rule is not None:
                out[rule or _HEADERS].append(self._members[name].size)
            elif path in files:
                raise ValueError(f"it installs {path} twice")
            else:
                files[path] = self._file(name, path)
        files |= {file.path: file for file in self._programs()}
        record = self._record(files.values())
        files[record.path] = record
        told = [LeftOut(self._name, rule.pattern, rule.reason, len(n), sum(n)) for rule, n in out.items()]
        told.sort(key=lambda left_out: left_out.pattern)
        return WheelContents(tuple(files[path] for path in sorted(files)), tuple(told))

    def _place(self, name: str) -> str | None:
        """Where a member goes; None for C headers."""
        top, _, rest = name.partition("/")
        if top != self._info.removesuffix(".dist-info") + ".data":
            return f"{self._site}/{name}"
        scheme, _, rest = rest.partition("/")
        roots = {"purelib": self._site, "platlib": self._site, "scripts": f"{VENV}/bin", "data": VENV}
        if not rest or scheme not in {*roots, "headers"}:
            raise ValueError(f"{name} belongs to a scheme that wheels do not have")
        return f"{roots[scheme]}/{rest}" if scheme in roots else None

    def _file(self, name: str, path: str) -> WheelFile:
        member, program = self._members[name], path.startswith(f"{VENV}/bin/")
        rewritten = self._rewritten(name) if program else None
        if rewritten is not None:
            return WheelFile(path, 0o755, rewritten, record_hash(rewritten))
        mode = 0o755 if program or member.executable else 0o644
        return WheelFile(path, mode, member, self._hashes.get(name, ""))

    def _rewritten(self, name: str) -> bytes | None:
        """A script that begins with ``#!python`` (or ``#!pythonw``), with the image's interpreter."""
        if self._members[name].size > MOST_IN_MEMORY:
            return None  # a compiled program
        first, newline, rest = self._read(name).partition(b"\n")
        return f"#!{PYTHON}".encode() + newline + rest if first.startswith(b"#!python") else None

    def _programs(self) -> Iterator[WheelFile]:
        entry_points = f"{self._info}/entry_points.txt"
        if entry_points in self._members:
            for name, text in scripts(self._read(entry_points)).items():
                yield WheelFile(f"{VENV}/bin/{name}", 0o755, text, record_hash(text))

    def _record(self, files: Iterable[WheelFile]) -> WheelFile:
        """``RECORD`` of what is installed; itself without hash and size."""
        own = f"{self._info}/RECORD"
        rows = [(self._recorded(file.path), file.hash, str(file.size)) for file in files]
        return WheelFile(f"{self._site}/{own}", 0o644, written_record([*rows, (own, "", "")]), "")

    def _recorded(self, path: str) -> str:
        below = path.removeprefix(f"{self._site}/")
        return below if below != path else "../../../" + path.removeprefix(f"{VENV}/")

    def _read(self, name: str) -> bytes:
        return read_small(self._path, self._members, name)
