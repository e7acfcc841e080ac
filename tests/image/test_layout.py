"""Images as files: the same bytes each time, read by the tools that people have."""

import dataclasses
import hashlib
import json
import os
import tarfile
import threading
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from nbfed_site.contracts import BadInput, StorageFull
from notebook_federator.image.errors import BlobDamaged, ReferenceInvalid
from notebook_federator.image.layout import stream_tar, write_folder, write_tar
from notebook_federator.image.shapes import (
    BuiltImage,
    BytesContent,
    Content,
    FileContent,
    digest_of,
)
from notebook_federator.image.stored import InLayout, signature_tag
from small_images import attached, image, layer, names, silent, two_images


def blob_names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "blobs/sha256").iterdir()}


def with_content(one: BuiltImage, number: int, content: Content) -> BuiltImage:
    layers = list(one.layers)
    layers[number] = dataclasses.replace(layers[number], content=content)
    return dataclasses.replace(one, layers=tuple(layers))


def test_the_tar_has_the_same_bytes_each_time(tmp_path: Path, key: Path) -> None:
    for folder in ("a", "b"):
        images = two_images()
        write_tar(images, names(), tmp_path / folder / "it.tar", silent, attached(images, key))
    assert (tmp_path / "a/it.tar").read_bytes() == (tmp_path / "b/it.tar").read_bytes()


def test_a_layer_of_both_images_is_written_once(tmp_path: Path) -> None:
    write_tar(two_images(), names(), tmp_path / "it.tar", silent)
    with tarfile.open(tmp_path / "it.tar") as tar:
        members = tar.getnames()
    assert len(members) == len(set(members))
    assert two_images()[0].layers[0].descriptor.digest.replace("sha256:", "blobs/sha256/") in members


def test_every_blob_of_a_folder_has_its_hash_for_a_name(tmp_path: Path, key: Path) -> None:
    images = two_images()
    write_folder(images, names(), tmp_path / "it", silent, attached(images, key))
    for path in (tmp_path / "it/blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert json.loads((tmp_path / "it/oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


@pytest.mark.parametrize("write", [write_folder, write_tar])
def test_images_are_found_by_short_and_full_name(tmp_path: Path, write: Callable[..., None]) -> None:
    images = two_images()
    write(images, names("alice/demo"), tmp_path / "it", silent)
    stored = InLayout(tmp_path / "it")
    assert stored.find("client-v1") == stored.find("docker.io/alice/demo:client-v1") == images[1].manifest
    assert stored.find("client-v2") is None


@pytest.mark.parametrize("write", [write_folder, write_tar])
def test_what_is_attached_is_found_from_the_image(
    tmp_path: Path, key: Path, write: Callable[..., None]
) -> None:
    images = two_images()
    write(images, names(), tmp_path / "it", silent, attached(images, key))
    stored = InLayout(tmp_path / "it")
    assert len(stored.about(images[1].digest)) == 1
    assert stored.find(signature_tag(images[1].digest)) is not None


@pytest.mark.parametrize("write", [write_folder, write_tar])
@pytest.mark.parametrize("damage", ["other", "short", "long"])
def test_a_damaged_layer_is_found_and_nothing_is_left(
    tmp_path: Path, damage: str, write: Callable[..., None]
) -> None:
    server, client = two_images()
    found = client.layers[1].content.open().read()
    wrong = {"other": b"x" + found[1:], "short": found[:-1], "long": found + b"x"}[damage]
    with pytest.raises(BlobDamaged, match="torch"):
        write((server, with_content(client, 1, BytesContent(wrong))), names(), tmp_path / "it", silent)
    assert list(tmp_path.iterdir()) == []


def test_progress_ends_with_every_layer_made(tmp_path: Path) -> None:
    events: list[Mapping[str, Any]] = []
    write_tar(two_images(), names(), tmp_path / "it.tar", events.append)
    made = {event["title"]: event for event in events if event["state"] == "made"}
    assert made.keys() == {"base image", "torch 2.13.0+cpu", "site runtime, slice", "runtime"}
    assert all(event["bytes"] == event["total"] > 0 for event in made.values())


def test_a_second_build_replaces_its_images_and_what_only_they_needed(tmp_path: Path, key: Path) -> None:
    folder, first, second = tmp_path / "it", two_images("a"), two_images("b")
    write_folder(first, names(), folder, silent, attached(first, key))
    write_folder(second, names(), folder, silent, attached(second, key))
    write_folder(second, names(), tmp_path / "fresh", silent, attached(second, key))
    assert blob_names(folder) == blob_names(tmp_path / "fresh")
    assert (folder / "index.json").read_bytes() == (tmp_path / "fresh/index.json").read_bytes()


def test_images_of_other_tags_stay(tmp_path: Path) -> None:
    first, second = two_images("a"), two_images("b")
    write_folder(first, names(tag="v1"), tmp_path / "it", silent)
    write_folder(second, names(tag="v2"), tmp_path / "it", silent)
    stored = InLayout(tmp_path / "it")
    assert stored.find("client-v1") == first[1].manifest
    assert stored.find("client-v2") == second[1].manifest
    assert {one.descriptor.digest[7:] for both in (first, second) for one in both[1].layers} < blob_names(
        tmp_path / "it"
    )


def test_writing_again_changes_nothing_and_mends_a_damaged_blob(tmp_path: Path) -> None:
    images = two_images()
    write_folder(images, names(), tmp_path / "it", silent)
    before = {path: path.read_bytes() for path in (tmp_path / "it").rglob("*") if path.is_file()}
    damaged = tmp_path / "it/blobs/sha256" / images[1].layers[1].descriptor.digest[7:]
    damaged.write_bytes(bytes(damaged.stat().st_size))
    write_folder(images, names(), tmp_path / "it", silent)
    assert {path: path.read_bytes() for path in (tmp_path / "it").rglob("*") if path.is_file()} == before


def test_a_damaged_layer_leaves_the_old_images_readable(tmp_path: Path) -> None:
    first, (server, client) = two_images("a"), two_images("b")
    write_folder(first, names(), tmp_path / "it", silent)
    with pytest.raises(BlobDamaged):
        write_folder((server, with_content(client, 2, BytesContent(b"x"))), names(), tmp_path / "it", silent)
    stored = InLayout(tmp_path / "it")
    assert stored.find("client-v1") == first[1].manifest
    assert all(stored.blob(one.descriptor.digest) for one in first[1].layers)
    assert not [path for path in (tmp_path / "it").rglob(".*")]


def test_writers_at_the_same_time_all_find_their_images(tmp_path: Path) -> None:
    tags = [f"v{number}" for number in range(6)]

    def write(tag: str) -> None:
        write_folder(two_images(tag), names(tag=tag), tmp_path / "it", silent)

    threads = [threading.Thread(target=write, args=(tag,)) for tag in tags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = InLayout(tmp_path / "it")
    assert all(stored.find(f"client-{tag}") == two_images(tag)[1].manifest for tag in tags)
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match="something else"):
        write_folder(two_images(), names(), tmp_path, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_and_folders_to_be_made_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    write_folder(two_images(), names(), Path("."), silent)
    write_folder(two_images(), names(), Path("a/b"), silent)
    assert (tmp_path / "empty/a/b/index.json").is_file()


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="not a folder"):
        write_folder(two_images(), names(), tmp_path / "file", silent)
    with pytest.raises(BadInput, match="not a file"):
        write_tar(two_images(), names(), tmp_path, silent)


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("write", [write_folder, write_tar])
def test_a_full_disk_is_said(tmp_path: Path, write: Callable[..., None]) -> None:
    import resource

    big, old = (
        image("server", layer("big", {"noise": os.urandom(3 << 20)})),
        resource.getrlimit(resource.RLIMIT_FSIZE),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, old[1]))
    try:
        with pytest.raises(StorageFull):
            write((big,), names(), tmp_path / "it", silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        write_tar(two_images(), names(), tmp_path / "file" / "it.tar", silent)


def test_a_name_that_is_no_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReferenceInvalid):
        write_tar(two_images(), {"server": "Not Legal", "client": "x:y"}, tmp_path / "it.tar", silent)
    assert list(tmp_path.iterdir()) == []


def test_a_large_layer_is_not_held_in_memory(tmp_path: Path) -> None:
    data = bytes(64 * 2**20)
    path = tmp_path / "big"
    path.write_bytes(data)
    one = layer("big", {})
    descriptor = dataclasses.replace(one.descriptor, digest=digest_of(data), size=len(data))
    big = image("server", dataclasses.replace(one, descriptor=descriptor, content=FileContent(path)))
    del data
    tracemalloc.start()
    with (tmp_path / "out").open("wb") as out:
        stream_tar((big,), names(), out, silent)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
