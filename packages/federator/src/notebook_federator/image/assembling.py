"""The parts of an image that are ours: the code layer, the configuration, the manifest.

Nothing depends on the machine or the hour: the same inputs give the same bytes.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nbfed_site.contracts import Manifest, canonical_json

from .base_image import BaseImage
from .layer_writer import EPOCH, LayerWriter
from .places import VENV, site_packages
from .shapes import (
    CONFIG,
    LAYER,
    MANIFEST,
    TITLES,
    BuiltImage,
    BytesContent,
    Descriptor,
    Layer,
    Role,
    digest_of,
)

PYTHON = f"/{VENV}/bin/python3"
PORT = 9092
UNPRIVILEGED = "65532:65532"
_MODULES: Mapping[Role, str] = {
    "server": "notebook_federator.federation.serving",
    "client": "nbfed_site",
}
_CREATED = datetime.fromtimestamp(EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
_GPU = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}


@dataclass(frozen=True, slots=True)
class Identity:
    """What an image says of itself: its role, where it comes from, and what it was made with."""

    role: Role
    manifest: Manifest
    lock_digest: str
    torch: str
    runtime_version: str

    @property
    def on_gpu(self) -> bool:
        """Whether the image is made for NVIDIA devices."""
        return self.role == "client" and self.torch.startswith("cu")


def slice_files(role: Role, slice_: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of ``/app/slice``: the whole slice for a client, its manifest alone for the server."""
    return dict(slice_) if role == "client" else {"manifest.json": slice_["manifest.json"]}


def code_layer(base: BaseImage, runtime: Mapping[str, bytes], slice_: Mapping[str, bytes]) -> Layer:
    """The one small layer that changes with the notebook: venv skeleton, runtime, slice, mount points."""
    packages = site_packages(base.python.version)
    files = {
        f"{VENV}/pyvenv.cfg": pyvenv(base),
        **{f"{packages}/{name}": data for name, data in runtime.items()},
        **{f"app/slice/{name}": data for name, data in slice_.items()},
    }
    out = io.BytesIO()
    writer = LayerWriter(out)
    for name in _folders({*files, f"{VENV}/bin/python3"}):
        writer.directory(name)
    writer.directory("data")
    writer.directory("kit")
    writer.directory("scratch", 0o1777)
    writer.link(f"{VENV}/bin/python", "python3")
    writer.link(f"{VENV}/bin/python3", base.python.path)
    for name in sorted(files):
        writer.file(name, files[name])
    written = writer.finish()
    descriptor = Descriptor(LAYER, written.digest, written.size)
    return Layer(
        descriptor, written.diff_id, written.unpacked, "site runtime, slice", BytesContent(out.getvalue())
    )


def pyvenv(base: BaseImage) -> bytes:
    """``pyvenv.cfg``: a virtual environment on the base's interpreter (PEP 405)."""
    home = posixpath.dirname(base.python.path)
    lines = (f"home = {home}", "include-system-site-packages = false", f"version = {base.python.version}")
    return "".join(f"{line}\n" for line in lines).encode()


def _folders(names: set[str]) -> list[str]:
    found: set[str] = set()
    for name in names:
        parts = name.split("/")
        found.update("/".join(parts[:end]) for end in range(1, len(parts)))
    return sorted(found)


def labels(identity: Identity, base: BaseImage) -> dict[str, str]:
    """``org.opencontainers.image.*`` and our own: what a registry's page and a scanner show."""
    manifest, own = identity.manifest, "org.notebook-federator"
    name, _, digest = base.reference.partition("@")
    return {
        "org.opencontainers.image.title": TITLES[identity.role],
        "org.opencontainers.image.description": f"{TITLES[identity.role]} image of {manifest.notebook}",
        "org.opencontainers.image.version": identity.runtime_version,
        "org.opencontainers.image.base.name": name,
        "org.opencontainers.image.base.digest": digest,
        f"{own}.role": identity.role,
        f"{own}.notebook": manifest.notebook,
        f"{own}.notebook-digest": manifest.notebook_digest,
        f"{own}.slice-digest": manifest.slice_digest,
        f"{own}.lock-digest": identity.lock_digest,
        f"{own}.runtime-version": identity.runtime_version,
        f"{own}.python": base.python.version,
    } | ({f"{own}.torch": identity.torch} if identity.role == "client" else {})


def configuration(identity: Identity, base: BaseImage) -> dict[str, Any]:
    """The ``config`` object of the image: how it runs.

    ``Healthcheck`` is Docker's own field beside those of the OCI image specification; others skip it.
    """
    run = [PYTHON, "-I", "-m", _MODULES[identity.role]]
    inherited = dict(line.split("=", 1) for line in base.config.get("config", {}).get("Env") or [])
    path = inherited.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    environment = inherited | {"PATH": f"/{VENV}/bin:{path}"} | _QUIET | (_GPU if identity.on_gpu else {})
    found: dict[str, Any] = {
        "User": UNPRIVILEGED,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Entrypoint": run,
        "Cmd": ["--help"],
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
        "Labels": labels(identity, base),
        "Healthcheck": {
            "Test": ["CMD", *run, "healthy"],
            "Interval": 30_000_000_000,
            "Timeout": 10_000_000_000,
            "StartPeriod": 60_000_000_000,
        },
    }
    return found | ({"ExposedPorts": {f"{PORT}/tcp": {}}} if identity.role == "server" else {})


def assemble(identity: Identity, base: BaseImage, layers: Sequence[Layer]) -> BuiltImage:
    """Base and own layers, configuration and manifest as one image (OCI image specification 1.1)."""
    stack = (*base.layers, *layers)
    own = [{"created": _CREATED, "created_by": "nbfed build", "comment": layer.title} for layer in layers]
    config = canonical_json(
        {
            "architecture": base.platform.architecture,
            "os": base.platform.os,
            "created": _CREATED,
            "config": configuration(identity, base),
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in stack]},
            "history": [*_history(base), *own],
        }
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": Descriptor(CONFIG, digest_of(config), len(config)).to_json(),
            "layers": [_described(layer).to_json() for layer in stack],
        }
    )
    return BuiltImage(identity.role, base.platform, config, manifest, stack)


def _history(base: BaseImage) -> list[Mapping[str, Any]]:
    """The base's own history where it tells of every layer; else one entry a layer."""
    told = base.config.get("history") or []
    if sum(not entry.get("empty_layer") for entry in told) == len(base.layers):
        return list(told)
    return [{"created": _CREATED, "created_by": "base image"} for _ in base.layers]


def _described(layer: Layer) -> Descriptor:
    own = {
        "org.notebook-federator.title": layer.title,
        "org.notebook-federator.unpacked": str(layer.unpacked),
    }
    found = layer.descriptor
    return Descriptor(found.media_type, found.digest, found.size, {**found.annotations, **own})
