"""The wheels of one image as a requirements file for pip, every one with its hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ...locking import Lock, LockedWheel, Role


def requirements(lock: Lock, role: Role) -> bytes:
    """A requirements file (pip documentation, "Requirements File Format") that fits one wheel a name.

    The host that most wheels come from is taken for the default index, whichever is configured where pip
    runs. A wheel from another host, such as a torch for one CUDA version, is named by its address too.
    """
    wheels = lock.wheels(role)
    local = local_wheels(lock, role)
    lines = [f"# Locked for Python {lock.target.python} on {lock.target.platform}."]
    if local:
        lines.append("# These came from a folder; copy them into wheelhouse/ where no index has them:")
        lines.extend(f"#   {wheel.filename}" for wheel in local)
    lines.extend(f"--find-links {address}" for address in _elsewhere(wheels))
    for wheel in wheels:
        lines.append(f"{wheel.name}=={wheel.version} \\")
        lines.append(f"    --hash=sha256:{wheel.sha256}")
    return "".join(f"{line}\n" for line in lines).encode()


def local_wheels(lock: Lock, role: Role) -> tuple[LockedWheel, ...]:
    """The wheels that were locked from a folder of this machine."""
    return tuple(wheel for wheel in lock.wheels(role) if urlsplit(wheel.url).scheme == "file")


def _elsewhere(wheels: Sequence[LockedWheel]) -> list[str]:
    """Addresses, without credentials, of the wheels that are not where most are."""
    found = [_plain(wheel.url) for wheel in wheels if urlsplit(wheel.url).scheme in {"http", "https"}]
    hosts = Counter(urlsplit(address).netloc for address in found)
    most = min(hosts, key=lambda host: (-hosts[host], host), default="")
    return [address for address in found if urlsplit(address).netloc != most]


def _plain(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
