"""Package indexes: which is asked, sizes that they do not tell, and what is said where they do not answer."""

from dataclasses import replace
from pathlib import Path

import pytest
from notebook_federator.locking import IndexUnreachable, LockUnsolvable, Sources, lock
from notebook_federator.locking.sizes import sized

from .conftest import TARGET, make_wheel, needs_of
from .index_server import serving

CLOSED = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def fresh(unconfigured: pytest.MonkeyPatch, without_pip: None, tmp_path: Path) -> pytest.MonkeyPatch:
    """No index is configured, none is cached, and none is asked twice."""
    unconfigured.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    unconfigured.setenv("UV_HTTP_RETRIES", "0")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        unconfigured.delenv(name, raising=False)
    return unconfigured


def test_sizes_that_the_index_does_not_tell_are_asked_for(wheels: Path) -> None:
    paths = [make_wheel(wheels, name, "1.0") for name in ("one", "two")]
    with serving(wheels) as index:
        made = lock(needs_of(["one", "two"], ["one"]), TARGET, Sources(default_index=index.url))
        heads = {each for each in index.asked if each.startswith("HEAD")}
    assert [wheel.size for wheel in made.packages] == [path.stat().st_size for path in paths]
    assert heads >= {f"HEAD /files/{path.name}" for path in paths}
    assert made.roles["server"] == ("one",)


def test_a_wheel_that_is_gone_from_the_index_is_said(wheels: Path) -> None:
    make_wheel(wheels, "one", "1.0")
    with serving(wheels) as index:
        (wheel,) = lock(needs_of(["one"]), TARGET, Sources(default_index=index.url)).packages
        index.refuse = 404
        with pytest.raises(IndexUnreachable, match="404") as caught:
            sized([replace(wheel, size=-1)])
    assert caught.value.where == wheel.url


def test_further_indexes_come_before_the_default_one(wheels: Path, tmp_path: Path) -> None:
    make_wheel(wheels, "one", "2.0")
    make_wheel(tmp_path / "own", "one", "1.0")
    with serving(wheels) as default, serving(tmp_path / "own") as own:
        made = lock(needs_of(["one"]), TARGET, Sources(indexes=(own.url,), default_index=default.url))
        assert made.packages[0].version == "1.0"
        assert default.asked == []


def test_torch_comes_from_a_named_index_in_the_asked_variant(wheels: Path, tmp_path: Path) -> None:
    make_wheel(wheels, "torch", "2.1")
    make_wheel(tmp_path / "own", "torch", "2.1+cpu")
    with serving(wheels) as default, serving(tmp_path / "own") as own:
        found = Sources(indexes=(own.url,), default_index=default.url)
        assert lock(needs_of(["torch==2.1"]), TARGET, found).packages[0].version == "2.1+cpu"


def test_without_torch_no_other_index_is_asked(wheels: Path, fresh: pytest.MonkeyPatch) -> None:
    make_wheel(wheels, "one", "1.0")
    fresh.setenv("HTTPS_PROXY", CLOSED)
    with serving(wheels) as index:
        fresh.setenv("PIP_INDEX_URL", index.url)
        assert lock(needs_of(["one"]), TARGET, Sources()).packages[0].version == "1.0"


def test_torchs_own_index_out_of_reach_says_how_to_do_without(
    wheels: Path, fresh: pytest.MonkeyPatch
) -> None:
    make_wheel(wheels, "torch", "2.1")
    fresh.setenv("HTTPS_PROXY", CLOSED)
    with serving(wheels) as index, pytest.raises(IndexUnreachable) as caught:
        lock(needs_of(["torch==2.1"]), TARGET, Sources(default_index=index.url))
    assert "/whl/cpu/torch" in caught.value.where
    assert "--wheels FOLDER" in caught.value.hint
    assert "torch's cpu wheel" in caught.value.hint


def test_no_network_is_told_from_no_such_package(wheels: Path) -> None:
    with pytest.raises(IndexUnreachable) as caught:
        lock(needs_of(["one"]), TARGET, Sources(default_index=f"{CLOSED}/simple"))
    assert caught.value.where == f"{CLOSED}/simple/one/"
    assert caught.value.exit_code == 2
    with serving(wheels) as index, pytest.raises(LockUnsolvable) as unknown:
        lock(needs_of(["one"]), TARGET, Sources(default_index=index.url))
    assert unknown.value.kind == "unknown"


@pytest.mark.parametrize("status", [401, 403, 500])
def test_an_index_that_refuses_is_not_taken_for_an_empty_one(status: int, wheels: Path) -> None:
    make_wheel(wheels, "one", "1.0")
    with serving(wheels, refuse=status) as index, pytest.raises(IndexUnreachable) as caught:
        lock(needs_of(["one"]), TARGET, Sources(default_index=index.url))
    assert caught.value.where.startswith(index.url)
    assert ("credentials" in caught.value.hint) == (status != 500)


def test_passwords_in_an_index_do_not_reach_the_lock(wheels: Path) -> None:
    make_wheel(wheels, "one", "1.0")
    with serving(wheels) as index:
        secret = index.url.replace("127", "ines:secret@127")
        (wheel,) = lock(needs_of(["one"]), TARGET, Sources(default_index=secret)).packages
    assert "secret" not in wheel.url
