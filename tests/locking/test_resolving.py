"""Whole locks: shared versions, roles, variants of torch, and equal bytes whatever the order."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from nbfed_site.contracts import SettingsInvalid
from notebook_federator.locking import (
    LockUnsolvable,
    Sources,
    identity,
    lock,
    read,
    runtime_requirements,
    write,
)
from notebook_federator.locking.resolving import environment_versions

from .conftest import TARGET, make_sdist, make_wheel, needs_of

pytestmark = pytest.mark.usefixtures("folders_only")


@pytest.fixture
def sources(wheels: Path) -> Sources:
    return Sources(wheels=(str(wheels),))


def test_images_share_versions_and_hold_only_what_they_need(wheels: Path, sources: Sources) -> None:
    make_wheel(wheels, "link", "1.0", needs=["arrays"])
    make_wheel(wheels, "arrays", "1.0")
    make_wheel(wheels, "arrays", "2.0")
    make_wheel(wheels, "model", "1.0", needs=["arrays<2", "extra"])
    make_wheel(wheels, "extra", "1.0")
    make_wheel(wheels, "web", "1.0")
    made = lock(needs_of(["model", "link"], ["link", "web"]), TARGET, sources)
    assert made.roles == {"client": ("arrays", "extra", "link", "model"), "server": ("arrays", "link", "web")}
    assert {wheel.name: wheel.version for wheel in made.packages}["arrays"] == "1.0"
    assert [wheel.name for wheel in made.wheels("server")] == ["arrays", "link", "web"]
    assert all(wheel.size == (wheels / wheel.filename).stat().st_size for wheel in made.packages)


def test_only_one_role_gets_the_extra_that_it_asks_for(wheels: Path, sources: Sources) -> None:
    path = make_wheel(wheels, "web", "1.0", needs=['fast; extra == "all"'])
    make_wheel(wheels, "fast", "1.0")
    made = lock(needs_of(["web"], ["web[all]"]), TARGET, sources)
    assert path.exists()
    assert made.roles == {"client": ("web",), "server": ("fast", "web")}


def test_equal_inputs_give_equal_locks_in_any_folder_and_order(
    wheels: Path, sources: Sources, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        make_wheel(wheels, name, "1.0")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(wheels, elsewhere)
    first = lock(needs_of(["one", "two"], ["one"]), TARGET, sources)
    second = lock(needs_of(["two", "one", "one"], ["one"]), TARGET, Sources(wheels=(str(elsewhere),)))
    assert first.packages[0].url != second.packages[0].url
    assert first == second
    assert identity(first) == identity(second)


def test_identity_follows_the_hashes(wheels: Path, sources: Sources) -> None:
    make_wheel(wheels, "one", "1.0")
    first = lock(needs_of(["one"]), TARGET, sources)
    make_wheel(wheels, "one", "1.0", needs=["pure; python_version < '3'"])
    assert identity(lock(needs_of(["one"]), TARGET, sources)) != identity(first)
    assert identity(replace(first, target=replace(TARGET, base="other"))) == identity(first)


def test_the_previous_lock_is_kept_where_possible(wheels: Path, sources: Sources, tmp_path: Path) -> None:
    make_wheel(wheels, "model", "1.0", needs=["arrays"])
    make_wheel(wheels, "arrays", "1.0")
    first = lock(needs_of(["model"]), TARGET, sources)
    write(first, tmp_path / "pylock.toml")
    make_wheel(wheels, "arrays", "2.0")
    make_wheel(wheels, "more", "1.0")
    kept = lock(needs_of(["model", "more"]), TARGET, sources, read(tmp_path / "pylock.toml"))
    assert [f"{wheel.name} {wheel.version}" for wheel in kept.packages] == [
        "arrays 1.0",
        "model 1.0",
        "more 1.0",
    ]
    fresh = lock(needs_of(["model", "more"]), TARGET, sources)
    assert fresh.packages[0].version == "2.0"


def test_versions_of_the_authors_environment_come_before_newer_ones(wheels: Path, sources: Sources) -> None:
    ran = environment_versions()["click"]
    make_wheel(wheels, "click", ran)
    make_wheel(wheels, "click", "99.0")
    make_wheel(wheels, "model", "1.0", needs=["click"])
    made = lock(needs_of(["model"]), TARGET, sources)
    assert made.packages[0].version == ran


def test_torch_comes_in_the_asked_variant(wheels: Path, sources: Sources) -> None:
    for version in ("2.0+cpu", "2.1", "2.1+cpu", "2.1+cu128", "2.2+cpu"):
        make_wheel(wheels, "torch", version)
        make_wheel(wheels, "torchvision", version, needs=["torch"])
    needs = needs_of(["torch==2.1", "torchvision>=2.1,<2.2"])
    for variant in ("cpu", "cu128"):
        made = lock(needs, replace(TARGET, torch=variant), sources)
        assert {wheel.version for wheel in made.packages} == {f"2.1+{variant}"}
    assert lock(needs_of(["torchvision"]), TARGET, sources).packages[0].version == "2.2+cpu"


def test_torch_wheels_for_other_pythons_are_passed_over(wheels: Path, sources: Sources) -> None:
    make_wheel(wheels, "torch", "2.1+cpu")
    make_wheel(wheels, "torch", "2.2+cpu", "cp39-cp39-manylinux2014_x86_64")
    assert lock(needs_of(["torch"]), TARGET, sources).packages[0].version == "2.1+cpu"


@pytest.mark.parametrize("line", ["torch==2.1", "torch"])
def test_any_other_variant_than_the_asked_is_refused(line: str, wheels: Path, sources: Sources) -> None:
    make_wheel(wheels, "torch", "2.1+cpu")
    with pytest.raises(LockUnsolvable, match="not to be had as cu128") as caught:
        lock(needs_of([line]), replace(TARGET, torch="cu128"), sources)
    assert (caught.value.kind, caught.value.distributions) == ("no wheel", ("torch",))


@pytest.mark.parametrize("variant", ["", "gpu", "cpu --help", "auto"])
def test_a_variant_that_is_none_is_refused(variant: str, sources: Sources) -> None:
    with pytest.raises(SettingsInvalid, match="no variant of torch"):
        lock(needs_of(["six"]), replace(TARGET, torch=variant), sources)


def test_repositories_are_refused_before_anything_runs(sources: Sources) -> None:
    with pytest.raises(LockUnsolvable) as caught:
        lock(needs_of(["Own_Layers @ git+https://localhost:1/own/layers.git"]), TARGET, sources)
    assert (caught.value.kind, caught.value.distributions) == ("no wheel", ("own-layers",))


def test_a_conflict_with_the_real_runtime_names_both_sides(wheels: Path, sources: Sources) -> None:
    for name in ("cryptography", "numpy"):
        make_wheel(wheels, name, "99.0")
    make_wheel(wheels, "flwr", "1.41.0", needs=["protobuf>=5.28"])
    make_wheel(wheels, "protobuf", "3.20.0")
    make_wheel(wheels, "protobuf", "6.0.0")
    client = [*runtime_requirements("client"), "protobuf==3.20.0"]
    with pytest.raises(LockUnsolvable) as caught:
        lock(needs_of(client), TARGET, sources)
    assert (caught.value.kind, caught.value.distributions) == ("conflict", ("protobuf", "flwr"))
    assert caught.value.what.startswith(
        "protobuf==3.20.0 cannot be installed beside what sites and server run"
    )


def test_source_only_is_told_from_unknown(wheels: Path, sources: Sources) -> None:
    make_sdist(wheels, "source", "1.0")
    kinds = {}
    for name in ("source", "ghost"):
        with pytest.raises(LockUnsolvable) as caught:
            lock(needs_of([name]), TARGET, sources)
        kinds[name] = caught.value.kind
    assert kinds == {"source": "no wheel", "ghost": "unknown"}
