"""The small members of a wheel that say what it is: its name, ``WHEEL``, ``RECORD``, ``entry_points.txt``.

Sources: packaging.python.org, "Binary distribution format", "Recording installed projects", "Entry points
specification". Every function here raises ValueError for what those do not allow.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from email.parser import BytesHeaderParser

from ..locking.shapes import LockedWheel
from .places import PYTHON

_REFERENCE = re.compile(r"(?P<module>[\w.]+)\s*:\s*(?P<attr>[\w.]+)\s*(\[.*\])?\s*$")
_SCRIPT = """#!{python}
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.exit({attr}())
"""


def dist_info(names: Iterable[str], wheel: LockedWheel) -> str:
    """The wheel's one ``.dist-info`` folder, which must be named after the locked distribution."""
    tops = {name.partition("/")[0] for name in names if "/" in name}
    found = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(found) != 1:
        raise ValueError(f"a wheel has one .dist-info folder, this has {len(found)}")
    name, _, version = found[0].removesuffix(".dist-info").partition("-")
    if _canonical(name, version) != _canonical(wheel.name, wheel.version):
        raise ValueError(f"it holds {name} {version} instead of {wheel.name} {wheel.version}")
    return found[0]


def _canonical(name: str, version: str) -> tuple[str, str]:
    from packaging.utils import canonicalize_name, canonicalize_version

    return canonicalize_name(name), canonicalize_version(version.replace("_", "-"))


def check_version(data: bytes) -> None:
    """Only wheels of major version 1 are known (``Wheel-Version`` in ``WHEEL``)."""
    found = BytesHeaderParser().parsebytes(data).get("Wheel-Version", "")
    if found.strip().partition(".")[0] != "1":
        raise ValueError(f"its Wheel-Version is {found!r}, only 1 is known")


def read_record(data: bytes) -> dict[str, str]:
    """Name of a member -> its hash as ``RECORD`` writes it (``sha256=...``)."""
    rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
    return {row[0]: row[1] for row in rows if len(row) >= 2}


def written_record(rows: Iterable[tuple[str, str, str]]) -> bytes:
    """``RECORD`` of what is installed: paths from ``site-packages``, hashes, sizes; sorted."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(sorted(rows))
    return out.getvalue().encode("utf-8")


def record_hash(data: bytes) -> str:
    """The hash of ``data`` as ``RECORD`` writes it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def scripts(entry_points: bytes) -> Mapping[str, bytes]:
    """Program name -> its text, for ``console_scripts`` and ``gui_scripts``."""
    return dict(_scripts(entry_points.decode("utf-8")))


def _scripts(text: str) -> Iterator[tuple[str, bytes]]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(f"its entry_points.txt cannot be read ({error})") from error
    for section in ("console_scripts", "gui_scripts"):
        for name, reference in parser.items(section) if parser.has_section(section) else ():
            yield name, _script(name, reference)


def _script(name: str, reference: str) -> bytes:
    found = _REFERENCE.match(reference.strip())
    if found is None or "/" in name or "\\" in name or name in {"", ".", ".."}:
        raise ValueError(f"the entry point {name!r} = {reference!r} is not one")
    attr = found["attr"]
    text = _SCRIPT.format(python=PYTHON, module=found["module"], first=attr.partition(".")[0], attr=attr)
    return text.encode("utf-8")
