"""Raw deflate streams (RFC 1951), read in pieces of bounded size and checked against size and CRC-32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isal import isal_zlib

PIECE = 1 << 20


class MemberDamaged(ValueError):
    """A stream is not what its checksum and size say."""


def inflated(pieces: Iterable[bytes], size: int, crc: int) -> Iterator[bytes]:
    """What a stream holds, at most a mebibyte at a time, however well it was packed.

    Raises: MemberDamaged unless the stream is whole, ends with ``pieces``, and holds ``size`` bytes with the
        checksum ``crc``; never after more than ``size`` bytes.
    """
    from isal import isal_zlib

    inflater = isal_zlib.decompressobj(-15)
    yield from checked(_inflated(inflater, pieces), size, crc)
    if not inflater.eof or inflater.unused_data:
        raise MemberDamaged("the compressed data do not end where they should")


def checked(pieces: Iterable[bytes], size: int, crc: int) -> Iterator[bytes]:
    """The pieces unchanged.

    Raises: MemberDamaged unless they are ``size`` bytes together, with the checksum ``crc``.
    """
    from isal import isal_zlib

    left, found = size, 0
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise MemberDamaged(f"there are more than the {size} bytes that are declared")
        found = isal_zlib.crc32(piece, found)
        yield piece
    if left:
        raise MemberDamaged(f"{left} of the {size} bytes that are declared are missing")
    if found != crc:
        raise MemberDamaged("the checksum does not fit")


def _inflated(inflater: isal_zlib.Decompress, pieces: Iterable[bytes]) -> Iterator[bytes]:
    from isal import isal_zlib

    for piece in pieces:
        waiting, full = piece, True
        while full:
            try:
                data = inflater.decompress(waiting, PIECE)
            except isal_zlib.error as error:  # type: ignore[misc]  # its stub declares an instance
                raise MemberDamaged(f"the compressed data are broken ({error})") from error
            waiting, full = inflater.unconsumed_tail, len(data) == PIECE
            yield data
