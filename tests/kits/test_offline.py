"""The client image inside a kit: the same image, whole, wherever it was taken from."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from kit_examples import NOW, federation
from nbfed_site.contracts import BadInput, digest
from notebook_federator.image import looking
from notebook_federator.image.layout import write_folder, write_tar
from notebook_federator.image.shapes import digest_of
from notebook_federator.image.signing_keys import make_key, public_key
from notebook_federator.kits import IssuedKit, Wishes, issue
from notebook_federator.kits.offline import from_file

sys.path.insert(0, str(Path(__file__).parents[1] / "image"))

from small_images import attached, names, silent, two_images

CLIENT = two_images()[1]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The author's signing key."""
    make_key(tmp_path / "key.pem")
    return tmp_path / "key.pem"


def issued(tmp_path: Path, images: Path, packed: bool = False, image: str = CLIENT.digest) -> IssuedKit:
    study = federation(tmp_path / "study", "hospital-a", client=f"registry.example/demo@{image}")
    return issue(study, "hospital-a", Wishes(packed=packed, fetch=from_file(images, silent)), NOW)


@pytest.mark.parametrize("write", [write_tar, write_folder])
def test_the_kit_holds_the_client_image_alone_with_its_signature(
    tmp_path: Path, key: Path, write: Callable[..., None]
) -> None:
    images = two_images()
    write(images, names(), tmp_path / "built", silent, attached(images, key))
    path = issued(tmp_path, tmp_path / "built").path
    (found,) = looking.inspect(str(path / "images.tar"), [], None)
    assert (found.digest, found.role) == (CLIENT.digest, "client")
    assert found.packages is not None
    (tmp_path / "images.pub").write_bytes(public_key(key))
    assert looking.verify(str(path / "images.tar"), tmp_path / "images.pub", None) == (CLIENT.digest,)


def test_everything_in_the_kit_speaks_of_that_image(tmp_path: Path) -> None:
    write_tar(two_images(), names(), tmp_path / "built.tar", silent)
    path = issued(tmp_path, tmp_path / "built.tar").path
    configuration = digest_of(CLIENT.config)
    for name in ("site", "compose.yml", "stack.yml"):
        assert configuration in (path / name).read_text()
    assert "nbfed image inspect images.tar" in (path / "SECURITY.md").read_text()
    told = json.loads((path / "kit.json").read_bytes())["files"]["images.tar"]
    assert told == digest((path / "images.tar").read_bytes())


def test_a_zip_holds_it_too(tmp_path: Path) -> None:
    write_tar(two_images(), names(), tmp_path / "built.tar", silent)
    with zipfile.ZipFile(issued(tmp_path, tmp_path / "built.tar", packed=True).path) as archive:
        archive.extractall(tmp_path / "out")
    (found,) = looking.inspect(str(tmp_path / "out/hospital-a/images.tar"), [], None)
    assert found.digest == CLIENT.digest


def test_another_builds_images_are_refused(tmp_path: Path) -> None:
    write_tar(two_images(), names(), tmp_path / "built.tar", silent)
    with pytest.raises(BadInput, match="The client image is not there"):
        issued(tmp_path, tmp_path / "built.tar", image="sha256:" + "9" * 64)
