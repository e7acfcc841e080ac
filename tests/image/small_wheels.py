"""Wheels made on the spot, sound ones and bad ones."""

import base64
import hashlib
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notebook_federator.image.shapes import Layer
from notebook_federator.locking.shapes import LockedWheel

EXECUTABLE = {"pkg/tool.sh", *(f"pkg-1.0.data/scripts/{name}" for name in ("run", "runw", "shell"))}


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def text(size: int, seed: int = 1) -> bytes:
    """Bytes that compress about by half."""
    return base64.b16encode(noise(size // 2, seed))


def write_wheel(
    folder: Path,
    name: str,
    files: Mapping[str, bytes],
    *,
    version: str = "1.0",
    method: int = zipfile.ZIP_DEFLATED,
    shuffled: int | None = None,
    wheel_version: str = "1.0",
    dist_info: str | None = None,
) -> LockedWheel:
    """A wheel with these members, ``WHEEL``, ``METADATA`` and ``RECORD``; ``shuffled``: another order."""
    info = dist_info or f"{name}-{version}.dist-info"
    members = dict(files) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: {wheel_version}\nRoot-Is-Purelib: true\n".encode(),
    }
    members[f"{info}/RECORD"] = record(members, f"{info}/RECORD")
    path = folder / f"{name}-{version}-py3-none-any.whl"
    order = list(members)
    if shuffled is not None:
        random.Random(shuffled).shuffle(order)
    with zipfile.ZipFile(path, "w", method) as archive:
        for member in order:
            entry = zipfile.ZipInfo(member, (2020 + (shuffled or 0), 1, 1, 0, 0, 0))
            entry.compress_type = method
            entry.external_attr = (0o100755 if member in EXECUTABLE else 0o100644) << 16
            archive.writestr(entry, members[member])
    return locked(path, name, version)


def record(members: Mapping[str, bytes], own: str) -> bytes:
    """``RECORD`` of these members."""
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in members.items()
    ]
    return "\n".join([*rows, f"{own},,\n"]).encode()


def locked(path: Path, name: str, version: str = "1.0", url: str | None = None) -> LockedWheel:
    """The line of a lock for this file."""
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return LockedWheel(name, version, path.name, url or path.as_uri(), sha256, len(data))


def tree(layer: Layer) -> dict[str, tuple[int, bytes]]:
    """Path -> mode and bytes of every file of a layer."""
    with layer.content.open() as opened:
        return untarred(opened.read())


def untarred(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Path -> mode and bytes of every file of a gzipped tar."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return {
            entry.name: (entry.mode, opened.read())
            for entry in archive
            if entry.isfile() and (opened := archive.extractfile(entry)) is not None
        }


def silent(event: Mapping[str, Any]) -> None:
    """Progress that nobody watches."""
