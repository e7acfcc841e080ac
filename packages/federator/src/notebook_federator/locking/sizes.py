"""How large the wheels are, where the index did not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .errors import IndexUnreachable
from .files import local_path
from .shapes import LockedWheel
from .solving import UNKNOWN_SIZE

_AT_ONCE = 8
_TRIES = 3
_SECONDS = 30.0


def sized(wheels: Sequence[LockedWheel]) -> tuple[LockedWheel, ...]:
    """The same wheels, all with their size: from the file, or by asking the server that has it.

    Raises:
        IndexUnreachable: a server does not answer or does not tell.
    """
    remote = [each for each in wheels if each.size == UNKNOWN_SIZE and local_path(each.url) is None]
    found: dict[str, int] = {}
    if remote:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            urls = [wheel.url for wheel in remote]
            found = dict(zip(urls, pool.map(_remote_size, urls), strict=True))
    return tuple(
        wheel
        if wheel.size != UNKNOWN_SIZE
        else replace(wheel, size=found.get(wheel.url) or _local_size(wheel))
        for wheel in wheels
    )


def _local_size(wheel: LockedWheel) -> int:
    path = local_path(wheel.url)
    try:
        return path.stat().st_size if path else UNKNOWN_SIZE
    except OSError as error:
        what = f"{wheel.filename} cannot be read: {error.strerror}."
        raise IndexUnreachable(what, where=str(path), hint="Put the file back, or lock again.") from error


def _remote_size(url: str) -> int:
    import http.client
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    problem = "it does not tell the size"
    for _ in range(_TRIES):
        try:
            with urlopen(Request(url, method="HEAD"), timeout=_SECONDS) as response:
                length = response.headers.get("Content-Length", "")
        except (OSError, http.client.HTTPException) as error:
            problem = str(error if isinstance(error, HTTPError) else getattr(error, "reason", error))
            continue
        if length.isdigit() and int(length) > 0:
            return int(length)
    what = f"How large a wheel is cannot be found out: {problem}."
    hint = "Try again, or download the wheel and give its folder with --wheels."
    raise IndexUnreachable(what, where=url, hint=hint)
