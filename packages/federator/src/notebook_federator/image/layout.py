"""Images as files: an OCI image layout folder, and one tar that Docker, Podman and skopeo all take."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from nbfed_site.contracts import BadInput, StorageFull

from .errors import BlobDamaged
from .layout_index import LAYOUT, Blob, blobs, docker_manifest, entries, index, merged, reachable
from .meter import Progress
from .shapes import Attachment, BuiltImage, Role
from .stored import InLayout, blob_name
from .verified import chunks

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


def write_tar(
    images: Sequence[BuiltImage],
    names: Mapping[Role, str],
    path: Path,
    progress: Progress,
    attached: Sequence[Attachment] = (),
) -> None:
    """Write one tar that is an OCI layout and a ``docker save`` archive; the same input gives the same bytes.

    Args:
        images: what is written; layers that they share are written once.
        names: the full name of each role's image, ``registry/repository:client-TAG``.
        path: the file; it appears whole or not at all, and replaces one that is there.
        progress: told of every layer, with the states ``making`` and ``made``.
        attached: bills of materials and signatures.

    Raises:
        BlobDamaged: the bytes of a layer are not what its digest says.
        ReferenceInvalid: of a name.
        StorageFull: no room.
        BadInput: ``path`` is a folder.
    """
    if path.is_dir():
        raise BadInput("This is a folder, not a file.", where=str(path), hint="name a file that ends in .tar")
    making = _beside(path)
    with _full_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with making.open("xb") as out:
                stream_tar(images, names, out, progress, attached)
            making.replace(path)
        finally:
            making.unlink(missing_ok=True)


def stream_tar(
    images: Sequence[BuiltImage],
    names: Mapping[Role, str],
    out: IO[bytes],
    progress: Progress,
    attached: Sequence[Attachment] = (),
) -> None:
    """As :func:`write_tar`, into a stream that need not be seekable; no layer is held in memory."""
    head = {
        "oci-layout": LAYOUT,
        "index.json": index(entries(images, names, attached)),
        "manifest.json": docker_manifest(images, names),
    }
    for name, data in head.items():
        out.write(_header(name, len(data)) + data + _padding(len(data)))
    out.write(_header("blobs") + _header("blobs/sha256"))
    for blob in blobs(images, attached):
        out.write(_header(blob_name(blob.digest), blob.size))
        for data in chunks(blob, progress):
            out.write(data)
        out.write(_padding(blob.size))
    out.write(bytes(2 * tarfile.BLOCKSIZE))


def _header(name: str, size: int | None = None) -> bytes:
    """Of a file of ``size`` bytes, else of a folder; owner 0 and time 0, as every new TarInfo."""
    member = tarfile.TarInfo(name)
    member.type, member.mode = (tarfile.DIRTYPE, 0o755) if size is None else (tarfile.REGTYPE, 0o644)
    member.size = size or 0
    return member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def write_folder(
    images: Sequence[BuiltImage],
    names: Mapping[Role, str],
    folder: Path,
    progress: Progress,
    attached: Sequence[Attachment] = (),
) -> None:
    """Write an OCI image layout, or add to the one that is there.

    A new layout appears whole or not at all. In an existing one blobs come first and the index last, at once:
    a reader sees the old images or the new ones. Images of the same short name (``client-TAG``) are replaced,
    with what only they needed.

    Args:
        images, names, progress, attached: as for :func:`write_tar`.
        folder: absent, empty, or an OCI layout.

    Raises:
        BlobDamaged, ReferenceInvalid, StorageFull: as for :func:`write_tar`.
        BadInput: ``folder`` holds something else.
    """
    listed, wanted = entries(images, names, attached), blobs(images, attached)
    with _full_told(folder):
        if _ready(folder) or not _created(folder, listed, wanted, progress):
            _extended(folder, listed, wanted, progress)


def _ready(folder: Path) -> bool:
    """Whether there is a layout to add to; an empty folder is made one. False where there is nothing."""
    hint = "name a new folder, or an image layout to add to"
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise BadInput("This is a file, not a folder.", where=str(folder), hint=hint)
    if not any(folder.iterdir()):  # it may be somebody's current folder: not to be replaced
        _write_index(folder, [])
        (folder / "oci-layout").write_bytes(LAYOUT)
    if not (folder / "oci-layout").is_file() or not (folder / "index.json").is_file():
        raise BadInput("This folder holds something else already.", where=str(folder), hint=hint)
    return True


def _created(
    folder: Path, listed: Sequence[Mapping[str, Any]], wanted: Sequence[Blob], progress: Progress
) -> bool:
    """Write beside and move; False when another process was first."""
    making = _beside(folder)
    try:
        (making / "blobs/sha256").mkdir(parents=True)
        for blob in wanted:
            _place(making, blob, progress)
        _write_index(making, listed)
        (making / "oci-layout").write_bytes(LAYOUT)
        making.rename(folder)
    except OSError:
        if not (folder / "oci-layout").is_file():
            raise
        return False
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return True


def _write_index(folder: Path, listed: Sequence[Mapping[str, Any]]) -> None:
    making = _beside(folder / "index.json")
    try:
        making.write_bytes(index(listed))
        making.replace(folder / "index.json")
    finally:
        making.unlink(missing_ok=True)


def _extended(
    folder: Path, listed: Sequence[Mapping[str, Any]], wanted: Sequence[Blob], progress: Progress
) -> None:
    with _alone(folder):
        stored = InLayout(folder)
        together = merged(stored.entries, listed, stored)
        (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        for blob in wanted:
            _place(folder, blob, progress)
        _write_index(folder, together)
        with suppress(BlobDamaged):  # a layout that was damaged before: nothing is removed from it
            for digest in reachable(stored.entries, stored) - reachable(together, stored):
                (folder / blob_name(digest)).unlink(missing_ok=True)


def _place(folder: Path, blob: Blob, progress: Progress) -> None:
    """Write a blob, unless it is there and sound."""
    path = folder / blob_name(blob.digest)
    if path.is_file() and path.stat().st_size == blob.size and _sound(path, blob):
        return
    making = _beside(path)
    try:
        with making.open("xb") as out:
            for data in chunks(blob, progress):
                out.write(data)
        making.replace(path)
    finally:
        making.unlink(missing_ok=True)


def _sound(path: Path, blob: Blob) -> bool:
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest() == blob.digest


def _beside(path: Path) -> Path:
    path = Path(os.path.abspath(path))  # "." has no name
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock ends with the process. None where folders have no locks (Windows)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # network file systems without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _full_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            hint = "make room, or write to another disk"
            raise StorageFull("There is no room for the images.", where=str(path), hint=hint) from error
        if error.errno in _UNWRITABLE:
            hint = "name a file or folder that you may write"
            raise BadInput("The images cannot be written here.", where=str(error), hint=hint) from error
        raise
