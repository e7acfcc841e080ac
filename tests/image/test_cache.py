"""The cache: whole files or none, bounded, shared by processes, unbroken by interruptions and full disks."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nbfed_site.contracts import SettingsInvalid, StorageFull
from notebook_federator.image.cache import Cache, Pruned, user_cache


def put(cache: Cache, name: str, size: int = 100, kind: str = "layers", *, hours_ago: float = 0.0) -> None:
    with cache.making(kind, name) as making:
        making.write_bytes(b"x" * size)
    found = cache.find(kind, name)
    assert found is not None
    then = time.time() - hours_ago * 3600
    os.utime(found, (then, found.stat().st_mtime))


def names(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.root.rglob("*") if path.is_file())


def test_a_file_is_found_once_it_is_whole(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new")
    assert cache.find("wheels", "a") is None
    with cache.making("wheels", "a") as making:
        making.write_bytes(b"half")
        assert cache.find("wheels", "a") is None
    found = cache.find("wheels", "a")
    assert found is not None
    assert found.read_bytes() == b"half"
    cache.drop("wheels", "a")
    assert cache.find("wheels", "a") is None
    cache.drop("wheels", "a")


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_what_fails_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(failure), cache.making("wheels", "a") as making:
        making.write_bytes(b"half")
        raise failure
    assert names(cache) == []


def test_what_fails_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    put(cache, "a", 7)
    with pytest.raises(RuntimeError), cache.making("layers", "a"):
        raise RuntimeError
    found = cache.find("layers", "a")
    assert found is not None
    assert found.stat().st_size == 7


def test_digests_are_names_and_ways_out_are_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    put(cache, "sha256:12", kind="blobs")
    assert cache.find("blobs", "sha256:12") == tmp_path / "blobs" / "sha256-12"
    for kind, name in [("blobs", "../x"), ("blobs", ".x"), ("blobs", ""), ("blobs", "a\\b"), ("other", "x")]:
        with pytest.raises(ValueError, match="no place"):
            cache.find(kind, name)


def test_pruning_takes_the_least_recently_used_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 10_000)
    for hours, name in enumerate("abcd"):
        put(cache, name, hours_ago=10 - hours)
    assert cache.find("layers", "a") is not None
    assert cache.prune(250) == Pruned(2, 200, 200)
    assert names(cache) == ["a", "d"]
    assert cache.prune(0) == Pruned(2, 200, 0)


def test_without_a_limit_the_cache_has_its_own_and_spares_what_is_in_use(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1)
    put(cache, "now")
    put(cache, "old", hours_ago=2)
    assert cache.prune() == Pruned(1, 100, 100)
    assert names(cache) == ["now"]


def test_placing_files_prunes_by_itself(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)
    for number in range(15):
        put(cache, f"old{number}", hours_ago=2)
    put(cache, "new")
    assert "new" in names(cache)
    assert len(names(cache)) <= 11


def test_a_file_that_is_read_survives_its_eviction(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    put(cache, "a")
    found = cache.find("layers", "a")
    assert found is not None
    with found.open("rb") as opened:
        cache.prune(0)
        assert opened.read() == b"x" * 100


def test_pruning_removes_what_dead_processes_left(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    put(cache, "a")
    for name, hours in ((".making-dead", 2), (".making-alive", 0)):
        path = tmp_path / "layers" / name
        path.write_bytes(b"12")
        os.utime(path, (time.time() - hours * 3600,) * 2)
    assert cache.prune().files == 1
    assert names(cache) == [".making-alive", "a"]


WRITER = """
import sys, time
from pathlib import Path
from notebook_federator.image.cache import Cache
cache, letter = Cache(Path(sys.argv[1]), 2_000_000), sys.argv[2].encode()
for turn in range(30):
    with cache.making("layers", f"shared{turn % 7}") as making:
        with making.open("wb") as out:
            for _ in range(20):
                out.write(letter * 5000)
    found = cache.find("layers", f"shared{(turn + 3) % 7}")
    if found is not None:
        data = found.read_bytes()
        assert len(data) == 100_000 and len(set(data)) == 1, (len(data), set(data))
    if turn % 10 == 0:
        cache.prune()
"""


def test_processes_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), letter], stderr=subprocess.PIPE)
        for letter in "abc"
    ]
    said = [process.communicate(timeout=60)[1].decode() for process in running]
    assert said == ["", "", ""]
    assert names(Cache(tmp_path)) == [f"shared{number}" for number in range(7)]


SLOW = """
import sys, time
from pathlib import Path
from notebook_federator.image.cache import Cache
with Cache(Path(sys.argv[1])).making("wheels", "slow") as making:
    with making.open("wb") as out:
        out.write(b"half"); out.flush()
        print("writing", flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_in_the_middle_leaves_no_broken_file(tmp_path: Path, number: signal.Signals) -> None:
    cache = Cache(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(number)
    assert process.wait(20) != 0
    process.stdout.close()
    assert cache.find("wheels", "slow") is None
    if number is signal.SIGINT:
        assert names(cache) == []


def test_a_full_disk_is_said_with_the_way_out(tmp_path: Path) -> None:
    cache = Cache(small_disk(tmp_path))
    try:
        with pytest.raises(StorageFull) as caught, cache.making("wheels", "a") as making:
            making.write_bytes(bytes(4 << 20))
        assert str(cache.root) in caught.value.where
        assert "nbfed cache prune" in caught.value.hint
        assert names(cache) == []
    finally:
        subprocess.run(["umount", str(cache.root)], check=True)


def small_disk(tmp_path: Path) -> Path:
    """A file system of one megabyte; skips where it cannot be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        made = False
    if not made:
        pytest.skip("no right to mount a small disk here")
    return folder


def test_a_quota_is_a_full_disk_and_other_errors_stay(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(StorageFull), cache.making("wheels", "a"):
        raise OSError(errno.EDQUOT, "quota")
    with pytest.raises(ConnectionResetError), cache.making("wheels", "a"):
        raise ConnectionResetError


def test_a_cache_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFull) as caught, Cache(tmp_path / "file").making("wheels", "a"):
        pass
    assert "NBFED_CACHE" in caught.value.hint


def test_the_users_cache_is_where_and_as_large_as_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NBFED_CACHE_LIMIT", raising=False)
    monkeypatch.setenv("NBFED_CACHE", str(tmp_path))
    assert (user_cache().root, user_cache().limit) == (tmp_path, 20 * 10**9)
    for text, size in {"500 MB": 500 * 10**6, "1.5GB": 15 * 10**8, "1000": 1000}.items():
        monkeypatch.setenv("NBFED_CACHE_LIMIT", text)
        assert user_cache().limit == size
    for text in ("many", "-1GB", "5 XB", "nan"):
        monkeypatch.setenv("NBFED_CACHE_LIMIT", text)
        with pytest.raises(SettingsInvalid):
            user_cache()
    monkeypatch.delenv("NBFED_CACHE")
    monkeypatch.delenv("NBFED_CACHE_LIMIT")
    assert user_cache().root.name == "notebook-federator"
