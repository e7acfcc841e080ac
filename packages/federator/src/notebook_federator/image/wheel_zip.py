"""The zip file that a wheel is: its members, distrusted, and their bytes in pieces."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .deflating import PIECE, MemberDamaged, checked, inflated

MOST_FILES = 500_000
MOST_BYTES = 64 << 30  # unpacked
MOST_EXPANSION = 200  # unpacked bytes for each byte of the wheel, where there are more than EXPANDED
EXPANDED = 1 << 30
MOST_IN_MEMORY = 16 << 20
_LOCAL_HEADER = 30  # bytes, without name and extra field
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f]|^/|(^|/)\.{0,2}(/|$)")


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the zip: ``packed`` bytes behind the local header at ``offset``, ``size`` bytes unpacked."""

    size: int
    crc: int
    offset: int
    packed: int
    deflated: bool
    executable: bool


def read_members(path: Path) -> dict[str, Member]:
    """The files by name.

    Raises: ValueError for what is no zip file, and for names and sizes that no wheel has.
    """
    with path.open("rb") as raw:
        try:
            listed = zipfile.ZipFile(raw).infolist()
        except (zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError, struct.error) as error:
            raise ValueError(f"it is not a zip file ({error})") from error
    _check_sizes(listed, path.stat().st_size)
    names = {info.orig_filename for info in listed}
    if len(names) != len(listed):
        raise ValueError("it has two members of one name")
    for info in listed:
        _check(info)
    return {info.orig_filename: _member(info) for info in listed if not info.is_dir()}


def _check_sizes(listed: Sequence[zipfile.ZipInfo], size: int) -> None:
    unpacked = sum(info.file_size for info in listed)
    if unpacked > MOST_BYTES or (unpacked > EXPANDED and unpacked > MOST_EXPANSION * size):
        raise ValueError(f"it would unpack to {unpacked:,} bytes")
    if len(listed) > MOST_FILES:
        raise ValueError(f"it has {len(listed):,} members")
    if sum(info.compress_size + _LOCAL_HEADER for info in listed) > size:
        raise ValueError("its members overlap")


def _check(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    if _UNSAFE.search(name.removesuffix("/")):
        raise ValueError(f"a member is named {name!r}, which leads out of its folder or is no name")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is encrypted, or compressed in a way that wheels do not use")


def _member(info: zipfile.ZipInfo) -> Member:
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    executable = bool((info.external_attr >> 16) & 0o111)
    return Member(info.file_size, info.CRC, info.header_offset, info.compress_size, deflated, executable)


def read_small(path: Path, members: Mapping[str, Member], name: str) -> bytes:
    """A whole member.

    Raises: ValueError when there is none, when it is damaged, or not a small one.
    """
    member = members.get(name)
    if member is None:
        raise ValueError(f"it has no {name}")
    if member.size > MOST_IN_MEMORY:
        raise ValueError(f"its {name} has {member.size:,} bytes")
    with path.open("rb") as raw:
        return b"".join(pieces(raw, member))


def pieces(raw: BinaryIO, member: Member) -> Iterator[bytes]:
    """A member's bytes, at most a mebibyte at a time.

    Raises: MemberDamaged unless they have the size and checksum of the zip's directory.
    """
    packed = packed_pieces(raw, member)
    return (inflated if member.deflated else checked)(packed, member.size, member.crc)


def packed_pieces(raw: BinaryIO, member: Member) -> Iterator[bytes]:
    """A member's bytes as they stand in the zip, at most a mebibyte at a time."""
    raw.seek(member.offset)
    header = raw.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise MemberDamaged("it does not begin where the directory says")
    raw.seek(sum(struct.unpack("<HH", header[26:30])), 1)
    left = member.packed
    while left:
        piece = raw.read(min(left, PIECE))
        if not piece:
            raise MemberDamaged("it ends too early")
        left -= len(piece)
        yield piece
