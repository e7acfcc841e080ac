"""What `nbfed build` made of a notebook, in a file beside it: ``STEM.images.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbfed_site.contracts import BadInput, Manifest, StorageFull, canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .image.shapes import BuiltImage, Role

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """The two images of a notebook, and what they were made from.

    Attributes:
        server, client: ``REGISTRY/NAME@sha256:...``.
        names: of the images by tag, ``REGISTRY/NAME:client-TAG``, by role.
        torch: variant of torch in the client image, such as ``cpu``. platform: such as ``linux/amd64``.
        key: public key (PEM) that both are signed with.
    """

    server: str
    client: str
    names: Mapping[str, str]
    notebook_digest: str
    slice_digest: str
    torch: str
    platform: str
    key: str
    schema_version: int = SCHEMA


def record(
    images: Sequence[BuiltImage], names: Mapping[Role, str], manifest: Manifest, *, torch: str, key: bytes
) -> ImageRecord:
    """The record of images that were just built; ``names`` are by tag, ``key`` is the public one (PEM)."""
    pinned = {image.role: f"{names[image.role].rpartition(':')[0]}@{image.digest}" for image in images}
    return ImageRecord(
        server=pinned["server"],
        client=pinned["client"],
        names={role: names[role] for role in pinned},
        notebook_digest=manifest.notebook_digest,
        slice_digest=manifest.slice_digest,
        torch=torch,
        platform=str(images[0].platform),
        key=key.decode(),
    )


def path_beside(notebook: Path) -> Path:
    """Where the record of a notebook's images lies."""
    return notebook.with_name(f"{notebook.stem}.images.json")


def write(found: ImageRecord, path: Path) -> None:
    """Write a record in one step.

    Raises:
        StorageFull: it cannot be written.
    """
    making = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        making.write_bytes(canonical_json(asdict(found)) + b"\n")
        making.replace(path)
    except OSError as error:
        making.unlink(missing_ok=True)
        what = f"The record of images cannot be written: {error.strerror}."
        raise StorageFull(what, where=str(path), hint="Make the notebook's folder writable.") from error


def read(path: Path) -> ImageRecord:
    """The record in a file.

    Raises:
        BadInput: there is none, or it is damaged.
    """
    hint = "Make it: nbfed build NOTEBOOK --push REGISTRY/NAME"
    try:
        value = json.loads(path.read_bytes())
        if value.get("schema_version") != SCHEMA:
            raise ValueError(f"schema {value.get('schema_version')!r}, not {SCHEMA}")
        return ImageRecord(**value)
    except FileNotFoundError:
        raise BadInput("The images of this notebook are not built yet.", where=str(path), hint=hint) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f"The record of images cannot be read: {error}.", where=str(path), hint=hint
        ) from error
