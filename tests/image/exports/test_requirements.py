"""The requirements file as text; pip reads one where the containers are tested."""

from __future__ import annotations

from notebook_federator.image.exports.requirements import local_wheels, requirements
from notebook_federator.locking import Lock, LockedWheel, Needs, Target
from packaging.requirements import Requirement

TARGET = Target("3.11", "linux/amd64", "cpu", "host/base@sha256:" + "0" * 64)


def lock(*wheels: LockedWheel) -> Lock:
    return Lock(
        TARGET, Needs({}, "", ""), wheels, {"client": tuple(one.name for one in wheels), "server": ()}
    )


def wheel(name: str, at: str, version: str = "1.0", digit: str = "a") -> LockedWheel:
    filename = f"{name}-{version}-py3-none-any.whl"
    return LockedWheel(name, version, filename, f"{at}/{filename.replace('+', '%2B')}", digit * 64, 1000)


def lines(*wheels: LockedWheel) -> list[str]:
    return requirements(lock(*wheels), "client").decode().splitlines()


def test_every_wheel_is_pinned_by_version_and_hash() -> None:
    text = "\n".join(lines(wheel("a", "https://one"), wheel("b", "https://one", "2.0+cpu", "b")))
    said = [one.split(" --hash=sha256:") for one in text.replace("\\\n", "").splitlines()[1:]]
    found = [(Requirement(name), digest) for name, digest in ((one[0], one[1]) for one in said)]
    assert [(one.name, str(one.specifier), digest) for one, digest in found] == [
        ("a", "==1.0", "a" * 64),
        ("b", "==2.0+cpu", "b" * 64),
    ]


def test_a_wheel_of_another_host_is_named_by_its_address_without_credentials() -> None:
    most = [wheel("a", "https://one/files"), wheel("b", "https://one/files")]
    torch = wheel("torch", "https://user:secret@two/whl/cu128", "2.13.0+cu128")
    found = [line for line in lines(*most, torch) if line.startswith("--")]
    assert found == ["--find-links https://two/whl/cu128/torch-2.13.0%2Bcu128-py3-none-any.whl"]


def test_wheels_of_one_host_leave_the_index_to_whoever_builds() -> None:
    assert not [line for line in lines(wheel("a", "https://one")) if line.startswith("--")]


def test_wheels_of_folders_are_named_for_copying_and_their_folder_is_not() -> None:
    mine = wheel("mine", "file:///home/somebody/wheels")
    made = lock(mine, wheel("a", "https://one"))
    assert local_wheels(made, "client") == (mine,)
    assert local_wheels(made, "server") == ()
    text = requirements(made, "client").decode()
    assert "#   mine-1.0-py3-none-any.whl\n" in text
    assert "somebody" not in text
