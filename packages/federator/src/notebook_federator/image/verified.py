"""Bytes on their way from a layer to a file or a pipe: counted, hashed, told of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing

from .errors import BlobDamaged
from .layout_index import Blob
from .meter import Meter, Progress, layer_event

_CHUNK = 2**20  # bytes


def chunks(blob: Blob, progress: Progress) -> Iterator[bytes]:
    """The blob's bytes in order, never more than its size.

    Raises: BlobDamaged, at the end at the latest, when they are not those of its digest.
    """
    told = progress if blob.title else _nobody
    meter, found, read = Meter(told, blob.title, "making", blob.size), hashlib.sha256(), 0
    with closing(blob.content.open()) as stream:
        while data := stream.read(_CHUNK):
            read += len(data)
            if read > blob.size:
                raise _damaged(blob)
            found.update(data)
            yield data
            meter.add(len(data))
    if read != blob.size or "sha256:" + found.hexdigest() != blob.digest:
        raise _damaged(blob)
    told(layer_event(blob.title, "made", read, blob.size))


def _nobody(event: object) -> None:
    """For blobs that nobody is told of."""


def _damaged(blob: Blob) -> BlobDamaged:
    named = f"{blob.title}, {blob.digest}" if blob.title else blob.digest
    hint = "build again; if it stays, empty the cache with `nbfed cache prune --limit 0`"
    return BlobDamaged("The bytes of a layer are not what its digest says.", where=named, hint=hint)
