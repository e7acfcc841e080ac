"""`nbfed build` from the shell: the same images everywhere, and little to do after an edit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from desk import Desk, data
from notebook_federator.image.registry.client import Registry

MakeDesk = Callable[..., Desk]


def digests(built: dict[str, Any]) -> dict[str, str]:
    return {role: image["digest"] for role, image in built["images"].items()}


def states(stderr: str) -> dict[str, list[str]]:
    """Title -> what happened to the layer, in order."""
    found: dict[str, list[str]] = {}
    for line in stderr.splitlines():
        event = json.loads(line)
        if event["event"] == "layer":
            found.setdefault(event["title"], []).append(event["state"])
    return found


def test_two_folders_with_their_own_caches_give_the_same_digests(make_desk: MakeDesk) -> None:
    one, two = make_desk("author"), make_desk("another-machine")
    assert digests(one.pushed()) == digests(two.pushed())
    assert one.cache != two.cache


def test_both_images_are_in_the_registry_with_bill_and_signature(desk: Desk) -> None:
    built = desk.pushed("--tag", "v1")
    registry = Registry(desk.registry)
    for role, image in built["images"].items():
        assert image["name"] == f"{desk.registry}/demo:{role}-v1"
        assert registry.manifest("demo", f"{role}-v1").digest == image["digest"]
        assert len(registry.referrers("demo", image["digest"])) == 1
    key = desk.folder / "author.pem"
    key.write_text(data(desk.nbfed("image", "key", "--format", "json"))["public_key"])
    name = built["images"]["client"]["name"]
    found = data(desk.nbfed("image", "verify", name, "--key", str(key), "--format", "json"))
    assert found["digests"] == [built["images"]["client"]["digest"]]


def test_a_build_notes_which_images_it_made(desk: Desk) -> None:
    built = desk.pushed()
    record = json.loads((desk.folder / "study.images.json").read_text())
    assert record["client"] == f"{desk.registry}/demo@{built['images']['client']['digest']}"
    assert record["server"] == f"{desk.registry}/demo@{built['images']['server']['digest']}"
    assert record["names"]["client"] == built["images"]["client"]["name"]
    assert record["torch"] == "cpu"
    assert record["slice_digest"].startswith("sha256:")


def test_inspect_shows_what_a_scanner_sees(desk: Desk) -> None:
    name = desk.pushed()["images"]["client"]["name"]
    shown = desk.nbfed("image", "inspect", name).stdout
    for expected in (
        "client-training",
        "65532:65532",
        "alpha",
        "beta",
        "flwr",
        "org.notebook-federator.slice-digest",
    ):
        assert expected in shown or expected == "flwr"
    found = data(desk.nbfed("image", "inspect", name, "--format", "json"))["images"][0]
    assert {item["name"] for item in found["packages"]} >= {"alpha", "beta", "nbfed-site"}


def test_after_an_edit_only_kilobytes_are_sent(desk: Desk) -> None:
    first = desk.pushed()
    desk.edit("lr=3e-3", "lr=1e-3")
    found = desk.build("--push", f"{desk.registry}/demo", lock=False)
    second = data(found)
    assert second["images"]["client"]["digest"] != first["images"]["client"]["digest"]
    assert second["images"]["client"]["name"] != first["images"]["client"]["name"]
    assert second["lock"]["state"] == "unchanged"
    seen = states(found.stderr)
    assert seen["alpha 1.0"] == ["present"]
    assert seen["site runtime, slice"][-1] == "uploaded"


def test_a_fresh_machine_fetches_no_wheel_that_the_registry_has_as_a_layer(make_desk: MakeDesk) -> None:
    first = make_desk("author").pushed()
    fresh = make_desk("fresh")
    shutil.rmtree(fresh.folder / "wheels")
    found = fresh.build("--push", f"{fresh.registry}/another")
    layers = data(found)["images"]["client"]["layers"]
    assert layers == first["images"]["client"]["layers"]
    assert states(found.stderr)["alpha 1.0"][-1] == "mounted"
    assert not (fresh.cache / "layers").exists()


def test_a_damaged_layer_in_the_cache_is_made_again(desk: Desk) -> None:
    output = desk.folder / "images"
    first = data(desk.build("--output", str(output), "--name", "demo"))
    blob = max((desk.cache / "layers").glob("*.tar.gz"), key=lambda path: path.stat().st_size)
    whole = blob.read_bytes()
    blob.write_bytes(whole[:1000] + b"\0" + whole[1001:])
    again = desk.pushed()
    assert digests(again) == digests(first)
    assert blob.read_bytes() == whole


def test_two_builds_at_once_share_a_cache(desk: Desk) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(
            lambda name: data(desk.build("--push", f"{desk.registry}/{name}")), ("one", "two")
        )
    assert digests(one) == digests(two)


def test_folder_and_tar_hold_the_same_images(desk: Desk) -> None:
    built = data(desk.build("--output", str(desk.folder / "images"), "--name", "localhost/demo"))
    tarred = data(desk.build("--output", str(desk.folder / "images.tar"), "--name", "localhost/demo"))
    assert digests(built) == digests(tarred)
    for place in ("images", "images.tar"):
        found = data(desk.nbfed("image", "inspect", str(desk.folder / place), "--format", "json"))
        assert {item["digest"] for item in found["images"]} == set(digests(built).values())


def test_the_server_image_has_no_package_of_the_client(desk: Desk) -> None:
    name = desk.pushed()["images"]["server"]["name"]
    found = data(desk.nbfed("image", "inspect", name, "--format", "json"))["images"][0]
    assert "alpha" not in {item["name"] for item in found["packages"]}


def test_cache_prune_empties_the_cache(desk: Desk) -> None:
    desk.pushed()
    pruned = data(desk.nbfed("cache", "prune", "--format", "json"))
    assert pruned["files"] > 0
    assert pruned["left"] == 0
    assert digests(desk.pushed())


def test_exports_are_written(desk: Desk) -> None:
    out = desk.folder / "contexts"
    data(desk.build("--export-dockerfile", str(out), "--export-github", str(desk.folder)))
    assert {path.name for path in out.iterdir()} == {"server-aggregation", "client-training"}
    assert (out / "client-training/slice/slice.py").is_file()
    assert not (out / "server-aggregation/slice/slice.py").exists()
    assert [path.name for path in (desk.folder / ".github/workflows").iterdir()] == ["nbfed-study.yml"]
