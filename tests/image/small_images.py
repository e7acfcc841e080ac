"""Images of a few kilobytes, made by hand; real enough for every engine."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from notebook_federator.image import sbom, signing
from notebook_federator.image.shapes import (
    CONFIG,
    LAYER,
    MANIFEST,
    Attachment,
    BuiltImage,
    BytesContent,
    Descriptor,
    Layer,
    Platform,
    Role,
    digest_of,
)

BASE = "docker.io/library/python@sha256:" + "ab" * 32
DOCUMENT = (
    b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": '
    b'[{"type": "library", "name": "numpy", "version": "2.1.0", "purl": "pkg:pypi/numpy@2.1.0"}]}'
)
LABELS = {
    "org.opencontainers.image.base.name": "docker.io/library/python",
    "org.opencontainers.image.base.digest": "sha256:" + "ab" * 32,
    "org.notebook-federator.notebook-digest": "sha256:" + "01" * 32,
    "org.notebook-federator.slice-digest": "sha256:" + "02" * 32,
    "org.notebook-federator.lock-digest": "sha256:" + "03" * 32,
    "org.notebook-federator.runtime-version": "0.1.0",
    "org.notebook-federator.python": "3.11",
}


def layer(title: str, files: Mapping[str, bytes]) -> Layer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    plain = out.getvalue()
    packed = gzip.compress(plain, mtime=0)
    descriptor = Descriptor(LAYER, digest_of(packed), len(packed))
    return Layer(descriptor, digest_of(plain), len(plain), title, BytesContent(packed))


def image(role: Role, *layers: Layer, labels: Mapping[str, str] | None = None, **config: Any) -> BuiltImage:
    """An image of these layers; ``config`` goes into its ``config`` object."""
    own = {"org.notebook-federator.role": role, **LABELS, **(labels or {})}
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": own, "Entrypoint": ["/app/venv/bin/python3"], **config},
            "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]},
        }
    ).encode()
    described = []
    for one in layers:
        told = {
            "org.notebook-federator.title": one.title,
            "org.notebook-federator.unpacked": str(one.unpacked),
        }
        found = one.descriptor
        described.append(Descriptor(found.media_type, found.digest, found.size, told).to_json())
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": Descriptor(CONFIG, digest_of(configuration), len(configuration)).to_json(),
            "layers": described,
        }
    ).encode()
    return BuiltImage(role, Platform(), configuration, manifest, layers)


def two_images(change: str = "") -> tuple[BuiltImage, BuiltImage]:
    """Server and client on the same base layer; ``change`` goes into their code."""
    base = layer("base image", {"etc/os-release": b"ID=small\n" * 100})
    torch = layer("torch 2.13.0+cpu", {"app/venv/torch.so": bytes(range(256)) * 40})
    code = layer("site runtime, slice", {"app/slice/slice.py": f"# {change}\n".encode()})
    served = layer("runtime", {"app/slice/manifest.json": f'{{"is": "{change}"}}'.encode()})
    ports = {"9092/tcp": {}}
    return image("server", base, served, ExposedPorts=ports), image("client", base, torch, code)


def names(repository: str = "localhost:5000/demo", tag: str = "v1") -> dict[Role, str]:
    return {"server": f"{repository}:server-{tag}", "client": f"{repository}:client-{tag}"}


def silent(event: Mapping[str, Any]) -> None:
    """Progress that nobody watches."""


def attached(images: Sequence[BuiltImage], key: Path, document: bytes = DOCUMENT) -> list[Attachment]:
    """A bill of materials and a signature of each image: first all of the one, then all of the other."""
    signed = [
        signing.attachment(one.digest, [signing.sign("x/y", one.digest, signing.private_key(key))])
        for one in images
    ]
    return [*(sbom.attachment(one.descriptor, document) for one in images), *signed]
