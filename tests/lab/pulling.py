"""A site gets the study's image from a registry: ``sh site up`` and ``sh site doctor`` of a real kit."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from notebook_federator.image.assembling import PYTHON
from notebook_federator.image.registry import Registry
from notebook_federator.image.registry.client import connections
from notebook_federator.image.registry.reference import parse
from notebook_federator.image.shapes import CONFIG, MANIFEST, BytesContent, Descriptor, digest_of
from notebook_federator.kits.container import Image
from notebook_federator.kits.offline import from_registry

from .store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "containers"))

from container_engines import Engine, Finished, NotHere, docker_engine, podman_engine
from kit_sites import Site, made

PLAIN_LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYERS, LAYER_BYTES = 9, 2_000_000
MIDDLE = LAYERS * LAYER_BYTES * 3 // 4  # only the last layers are on their way then
PULL_WAIT = 5  # seconds; a slow line needs more for all, and less for one layer
__all__ = ["Engine", "Finished", "NotHere", "Pull", "docker_engine", "podman_engine", "pulling"]
CERTIFICATES = Path("/etc/docker/certs.d")
REFUSED = "error: The image cannot be pulled."
STUDY, IMPOSTOR = "the study's own image", "another image"


@dataclass
class Pull:
    """One site that was given a kit, and has no image yet."""

    site: Site
    reference: str
    direction: str = "down"
    middle: int = MIDDLE

    def attempt(self) -> Finished:
        """What the operator does, in the one shell or the other."""
        shell = "sh" if self.site.engine.name == "docker" else "bash"
        words = [shell, "site", "up", str(self.site.data)]
        return subprocess.run(
            words, cwd=self.site.kit, env=self.site.environment | {"NBFED_PULL_WAIT": str(PULL_WAIT)},
            timeout=300, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def check_done(self, found: Finished) -> None:
        """It takes part, with the image that the kit names and no other."""
        assert found.returncode == 0, found.stderr
        assert "The site takes part." in found.stderr, found.stderr
        assert self.site("logs").stdout == f"{STUDY}\n"
        assert self.site.on_data("doctor").stdout == f"{STUDY}\n"

    def check_refused(self, found: Finished) -> str:
        """It says what is wrong and what to do, and nothing goes on or runs; all that it said."""
        assert found.returncode == 1, found.stderr
        assert REFUSED in found.stderr, found.stderr
        assert "\nnext:  Log in to the registry" in found.stderr, found.stderr
        assert not still_pulling(self.reference)
        name = self.site.name
        assert self.site.engine("container", "inspect", name, check=False).returncode != 0
        assert self.site.engine("image", "inspect", self.reference, check=False).returncode != 0
        return found.stderr


def still_pulling(reference: str) -> bool:
    """Whether a process asks an engine for an image."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            words = path.read_bytes().decode(errors="replace").split("\0")
            if "pull" in words and reference in words:
                return True
    return False


@contextmanager
def pulling(engine: Engine, folder: Path, store: Store) -> Iterator[Pull]:
    """A site whose engine trusts the registry; in the end nothing of it is left."""
    folder.mkdir(parents=True)
    store.blobs["study"], store.blobs["layer"] = push_image(store, STUDY, folder, LAYERS)
    store.blobs["impostor"], _ = push_image(store, IMPOSTOR, folder, 1)  # the tag has moved on
    reference = f"{store.address}/study@{store.blobs['study']}"
    site = made(engine, folder, Image(reference))
    own = folder / ".config/containers/certs.d"  # where podman looks: HOME is the site's folder
    place = (CERTIFICATES if engine.name == "docker" else own) / store.address
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(store.ca.read_bytes())
    try:
        yield Pull(site, reference)
    finally:
        engine("rm", "--force", site.name, check=False)
        engine("volume", "rm", "--force", site.name, check=False)
        engine("image", "rm", "--force", reference, check=False)
        (place / "ca.crt").unlink()
        place.rmdir()
        with suppress(OSError):  # somebody else's is there, or it is gone
            place.parent.rmdir()


def push_image(store: Store, says: str, folder: Path, ballast: int) -> tuple[str, str]:
    """Push an image whose program says which it is; the digests of its manifest and of its last layer."""
    program = folder / "program"
    source = str(Path(__file__).with_name("site_program.c"))
    subprocess.run(["cc", "-static", f'-DSAYS="{says}"', "-o", str(program), source], check=True)
    layers = [
        archive({PYTHON.lstrip("/"): program.read_bytes()}),
        *(archive({f"ballast-{place}": os.urandom(LAYER_BYTES)}) for place in range(ballast)),
    ]
    config = json.dumps({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": [PYTHON, "-I", "-m", "nbfed_site"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in layers]},
    }).encode()  # fmt: skip
    parts = [(Descriptor(PLAIN_LAYER, digest_of(one), len(one)), one) for one in layers]
    described = Descriptor(CONFIG, digest_of(config), len(config))
    registry = Registry(store.address, root_certificates=store.ca)
    for descriptor, data in (*parts, (described, config)):
        registry.push_blob("study", descriptor, BytesContent(data))
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST, "config": described.to_json(),
        "layers": [descriptor.to_json() for descriptor, _ in parts],
    }  # fmt: skip
    digest = registry.push_manifest("study", "latest", json.dumps(manifest).encode(), MANIFEST)
    return digest, parts[-1][0].digest


def archive(files: dict[str, bytes]) -> bytes:
    """An uncompressed layer, with the folders that a site mounts something at."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("app", "app/venv", "app/venv/bin", "data", "kit", "scratch"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def put_image_in(kit: Site, reference: str, store: Store) -> Site:
    """Another kit, with the image in it, made while the registry was well."""
    folder = kit.kit.parent / "offline"
    folder.mkdir()
    images = folder / "images.tar"
    configuration = from_registry(connections(store.ca), lambda _: None)(parse(reference), images)
    return made(kit.engine, folder, Image(reference, configuration=configuration), images)
