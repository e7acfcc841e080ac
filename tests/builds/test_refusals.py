"""Bad input to `nbfed build`: a code, a next step, and nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable

import nbformat
import pytest
from desk import Desk, data, push_base, refusal
from notebook_federator.image.registry.client import Registry

MakeDesk = Callable[..., Desk]
NOWHERE = "localhost:9"


def test_a_notebook_with_blocking_findings(desk: Desk) -> None:
    document = nbformat.read(desk.notebook, as_version=4)
    document.cells = [cell for cell in document.cells if "def train" not in cell.source]
    nbformat.write(document, desk.notebook)
    assert refusal(desk.build("--push", f"{desk.registry}/demo", lock=False)) == (4, "NE402")
    assert Registry(desk.registry).find_manifest("demo", "client-v1") is None


@pytest.mark.parametrize("name", ["UPPER/case", "demo@sha256:" + "0" * 64, "a//b", "demo:bad tag"])
def test_a_name_that_is_not_a_reference(desk: Desk, name: str) -> None:
    assert refusal(desk.build("--push", name)) == (4, "NE410")


def test_a_tag_that_cannot_be_one(desk: Desk) -> None:
    assert refusal(desk.build("--push", f"{desk.registry}/demo", "--tag", "no/slash")) == (4, "NE410")


def test_nowhere_to_go(desk: Desk) -> None:
    assert refusal(desk.build()) == (4, "NE403")


def test_a_registry_that_does_not_answer(desk: Desk) -> None:
    assert refusal(desk.build("--push", f"{NOWHERE}/demo")) == (2, "NE210")


def test_a_tag_that_names_another_image_stays(desk: Desk) -> None:
    first = desk.pushed("--tag", "v1")
    desk.edit("lr=3e-3", "lr=1e-3")
    words = ("--push", f"{desk.registry}/demo", "--tag", "v1")
    assert refusal(desk.build(*words, lock=False)) == (4, "NE414")
    registry = Registry(desk.registry)
    for role, image in first["images"].items():
        assert registry.manifest("demo", f"{role}-v1").digest == image["digest"]
    moved = data(desk.build(*words, "--replace", lock=False))
    assert registry.manifest("demo", "client-v1").digest == moved["images"]["client"]["digest"]


def test_a_lock_of_another_notebook_is_refused(desk: Desk) -> None:
    before = desk.lock.read_bytes()
    desk.edit("lr=3e-3", "lr=1e-3")
    assert refusal(desk.build("--push", f"{desk.registry}/demo")) == (4, "NE411")
    assert desk.lock.read_bytes() == before


def test_a_lock_that_is_missing_is_refused_in_ci(desk: Desk) -> None:
    desk.lock.unlink()
    base = ("--base", f"{desk.registry}/python:3.11")
    assert refusal(desk.build("--push", f"{desk.registry}/demo", *base)) == (4, "NE411")


def test_a_wheel_that_is_not_the_locked_one(desk: Desk) -> None:
    path = next((desk.folder / "wheels").glob("alpha-*.whl"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert refusal(desk.build("--push", f"{desk.registry}/demo")) == (4, "NE413")
    assert Registry(desk.registry).find_manifest("demo", "server-v1") is None
    path.write_bytes(whole)
    assert desk.pushed()["images"]


def test_a_base_without_python(desk: Desk) -> None:
    base = push_base(desk.registry, "bare", environment=())
    assert refusal(desk.build("--push", f"{desk.registry}/demo", "--base", base, lock=False)) == (4, "NE412")


def test_a_folder_that_holds_something_else_is_left_alone(desk: Desk) -> None:
    folder = desk.folder / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    code, _ = refusal(desk.build("--output", str(folder)))
    assert code == 4
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_an_image_signed_by_somebody_else(make_desk: MakeDesk) -> None:
    author, other = make_desk("author"), make_desk("other")
    name = author.pushed()["images"]["client"]["name"]
    key = other.folder / "other.pem"
    key.write_text(data(other.nbfed("image", "key", "--format", "json"))["public_key"])
    assert refusal(author.nbfed("image", "verify", name, "--key", str(key), "--format", "json")) == (
        4,
        "NE416",
    )


def test_ctrl_c_leaves_a_cache_that_works(desk: Desk) -> None:
    found = desk.interrupted("--push", f"{desk.registry}/demo")
    assert found.returncode in (0, 130)
    assert json.loads(found.stdout)["exit_code"] == found.returncode
    assert desk.pushed()["images"]
