"""Folders and tars as skopeo, umoci and containerd read them; Docker and Podman: see the tests of engines."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from notebook_federator.image.layout import write_folder, write_tar
from notebook_federator.image.shapes import digest_of
from small_images import attached, names, silent, two_images


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def told_by(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("form", ["oci:{}/folder:client-v1", "oci-archive:{}/it.tar:client-v1"])
def test_skopeo_copies_to_the_same_digest(tmp_path: Path, key: Path, form: str, registry: Any) -> None:
    skopeo, images = tool("skopeo"), two_images()
    write_folder(images, names(), tmp_path / "folder", silent, attached(images, key))
    write_tar(images, names(), tmp_path / "it.tar", silent, attached(images, key))
    there = f"docker://{registry.address}/demo:client-v1"
    told_by(skopeo, "copy", "--dest-tls-verify=false", form.format(tmp_path), there)
    found = told_by(skopeo, "inspect", "--tls-verify=false", "--raw", there)
    assert digest_of(found) == images[1].digest


def test_skopeo_reads_the_tar_as_docker_archive_too(tmp_path: Path) -> None:
    skopeo, images = tool("skopeo"), two_images()
    write_tar(images, names(), tmp_path / "it.tar", silent)
    source = f"docker-archive:{tmp_path}/it.tar:{names()['client']}"
    assert told_by(skopeo, "inspect", "--raw", "--config", source) == images[1].config
    told_by(skopeo, "copy", source, f"dir:{tmp_path}/copied")
    assert (tmp_path / "copied" / digest_of(images[1].config)[7:]).read_bytes() == images[1].config


def test_umoci_unpacks_from_the_folder(tmp_path: Path, key: Path) -> None:
    umoci, images = tool("umoci"), two_images()
    write_folder(images, names(), tmp_path / "it", silent, attached(images, key))
    told_by(umoci, "unpack", "--rootless", "--image", f"{tmp_path}/it:client-v1", str(tmp_path / "bundle"))
    assert (tmp_path / "bundle/rootfs/app/slice/slice.py").read_text() == "# \n"


def test_containerd_imports_the_tar_with_what_is_attached(tmp_path: Path, key: Path) -> None:
    """Named like an image, a signature would be unpacked, and the whole import fail."""
    ctr, socket = tool("ctr"), Path("/run/docker/containerd/containerd.sock")
    if not socket.exists():
        pytest.skip("no containerd runs here")
    own, images = (ctr, "-a", str(socket), "-n", f"nbfed-{tmp_path.name}"), two_images()
    write_tar(images, names(), tmp_path / "it.tar", silent, attached(images, key))
    try:
        told_by(*own, "images", "import", str(tmp_path / "it.tar"))
        assert told_by(*own, "images", "ls", "-q").decode().split() == sorted(names().values())
    finally:
        subprocess.run([*own, "images", "rm", *names().values()], capture_output=True, check=False)
        subprocess.run([*own, "content", "prune", "references"], capture_output=True, check=False)
        subprocess.run(
            [ctr, "-a", str(socket), "namespaces", "rm", own[-1]], capture_output=True, check=False
        )
