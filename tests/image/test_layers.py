"""Layers of wheels: planned, made, found again; the same bytes everywhere; what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from notebook_federator.image import layers
from notebook_federator.image.cache import Cache
from notebook_federator.image.errors import WheelDamaged, WheelUnreachable
from notebook_federator.image.layers import (
    LayerPlan,
    cached,
    forget,
    left_out,
    make,
    not_installed,
    plan,
    verified,
)
from notebook_federator.image.shapes import FileContent
from notebook_federator.locking.shapes import LockedWheel
from small_wheels import locked, noise, silent, text, tree, write_wheel

SITE = "app/venv/lib/python3.11/site-packages"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def three(folder: Path, shuffled: int | None = None) -> list[LockedWheel]:
    folder.mkdir(exist_ok=True)
    return [
        write_wheel(folder, "one", {"one/__init__.py": b"import two.part\n", "one/big.bin": text(200_000)}),
        write_wheel(folder, "two", {"two/__init__.py": b"", "two/part.py": b"x = 2\n"}, shuffled=shuffled),
        write_wheel(folder, "three", {"three.py": b"# " + text(50_000, 3), "two/extra.py": b"y = 3\n"}),
    ]


def only(wheels: list[LockedWheel]) -> LayerPlan:
    (found,) = plan(wheels, "3.11")
    return found


def test_large_wheels_get_layers_of_their_own() -> None:
    sizes = {"torch": 190_000_000, "numpy": 19_999_999, "scipy": 20_000_000, "click": 1, "uv": 30_000_000}
    wheels = [LockedWheel(name, "1.0", f"{name}.whl", "", name * 3, size) for name, size in sizes.items()]
    plans = plan(wheels, "3.11")
    assert [each.title for each in plans] == ["torch 1.0", "scipy 1.0", "2 packages"]
    assert [wheel.name for wheel in plans[-1].wheels] == ["click", "numpy"]
    assert plan(wheels[::-1], "3.11") == plans
    assert [wheel.name for wheel in not_installed(wheels)] == ["uv"]
    assert plan([], "3.11") == ()


def test_a_key_stands_for_everything_that_a_layer_is_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = LockedWheel("a", "1.0", "a.whl", "https://here/a.whl", "0" * 64, 5)

    def key(wheel: LockedWheel = wheel, python: str = "3.11") -> str:
        return only([wheel]).key if python == "3.11" else plan([wheel], python)[0].key

    first = key()
    assert key(replace(wheel, url="https://elsewhere/a.whl")) == first
    assert len({first, key(python="3.12"), key(replace(wheel, sha256="1" * 64))}) == 3
    monkeypatch.setattr(layers, "BUILDER", "next")
    assert key() != first


def test_a_layer_is_made_once_and_found_again(tmp_path: Path, cache: Cache) -> None:
    planned = only(three(tmp_path / "w"))
    assert cached(planned, cache) is None
    told: list[Any] = []
    made = make(planned, cache, told.append)
    assert cached(planned, cache) == made
    assert (made.title, made.key) == ("3 packages", planned.key)
    assert made.descriptor.size == len(made.content.open().read())
    assert verified(made)
    assert told[-1]["state"] == "made"
    assert tree(made)[f"{SITE}/one/big.bin"] == (0o644, text(200_000))


def test_layers_are_the_same_from_other_folders_and_orders(tmp_path: Path) -> None:
    first = make(only(three(tmp_path / "a")), Cache(tmp_path / "1"), silent)
    again = make(only(three(tmp_path / "b")[::-1]), Cache(tmp_path / "2"), silent)
    other = make(only(three(tmp_path / "c", shuffled=5)), Cache(tmp_path / "3"), silent)
    assert again.descriptor == first.descriptor
    assert again.key == first.key
    assert {name: data for name, (_, data) in tree(other).items() if not name.endswith("RECORD")} == {
        name: data for name, (_, data) in tree(first).items() if not name.endswith("RECORD")
    }
    assert other.diff_id == first.diff_id


def test_layers_are_the_same_under_another_umask_and_zone(tmp_path: Path) -> None:
    wheels = three(tmp_path / "w")
    here = make(only(wheels), Cache(tmp_path / "here"), silent)
    program = (
        f"import os, sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from pathlib import Path\nfrom test_layers import *\n"
        f"os.umask(0o077)\nw = three(Path({str(tmp_path / 'there-w')!r}))\n"
        f"print(make(only(w), Cache(Path({str(tmp_path / 'there')!r})), silent).descriptor.digest)"
    )
    environment = os.environ | {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == here.descriptor.digest


def test_two_that_make_one_layer_at_once_both_get_it(tmp_path: Path, cache: Cache) -> None:
    planned = only(three(tmp_path / "w"))
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(make(planned, cache, silent).descriptor.digest))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_corrupt_layer_is_found_by_its_hash_and_made_again(tmp_path: Path, cache: Cache) -> None:
    planned = only(three(tmp_path / "w"))
    made = make(planned, cache, silent)
    assert isinstance(made.content, FileContent)
    data = bytearray(made.content.path.read_bytes())
    data[len(data) // 2] ^= 1
    made.content.path.write_bytes(data)
    found = cached(planned, cache)
    assert found is not None
    assert not verified(found)
    forget(planned.key, cache)
    assert cached(planned, cache) is None
    assert make(planned, cache, silent).descriptor == made.descriptor


@pytest.mark.parametrize(
    "note", [b"", b"{", b"[]", b"{}", b'{"written": {}, "left_out": []}', b'{"written": 1}']
)
def test_a_note_that_cannot_be_read_is_no_layer(note: bytes, tmp_path: Path, cache: Cache) -> None:
    planned = only(three(tmp_path / "w"))
    make(planned, cache, silent)
    path = cache.find("layers", f"{planned.key}.json")
    assert path is not None
    path.write_bytes(note)
    assert cached(planned, cache) is None
    assert left_out([planned], cache) == ()


def test_a_layer_that_was_cut_off_is_no_layer(tmp_path: Path, cache: Cache) -> None:
    planned = only(three(tmp_path / "w"))
    made = make(planned, cache, silent)
    assert isinstance(made.content, FileContent)
    os.truncate(made.content.path, 1000)
    assert cached(planned, cache) is None


def test_what_was_left_out_is_remembered(tmp_path: Path, cache: Cache) -> None:
    wheel = write_wheel(tmp_path, "scipy", {"scipy/__init__.py": b"", "scipy/io/tests/t.py": noise(500)})
    planned = only([wheel])
    assert left_out([planned], cache) == ()
    make(planned, cache, silent)
    (told,) = left_out([planned], cache)
    assert (told.distribution, told.files, told.size) == ("scipy", 1, 500)


def test_two_wheels_that_contradict_each_other_are_both_named(tmp_path: Path, cache: Cache) -> None:
    wheels = [write_wheel(tmp_path, name, {"same/x.py": name.encode()}) for name in ("first", "second")]
    with pytest.raises(WheelDamaged) as caught:
        make(only(wheels), cache, silent)
    assert "first-1.0" in caught.value.what
    assert "second-1.0" in caught.value.what
    assert caught.value.where.endswith("same/x.py")
    assert list((cache.root / "layers").iterdir()) == []


def test_two_wheels_may_hold_the_same_file_and_programs_of_one_name(tmp_path: Path, cache: Cache) -> None:
    shared = {"same/__init__.py": b""}
    wheels = [
        write_wheel(
            tmp_path,
            name,
            shared | {f"{name}-1.0.dist-info/entry_points.txt": f"[console_scripts]\nrun={name}:x".encode()},
        )
        for name in ("first", "second")
    ]
    found = tree(make(only(wheels), cache, silent))
    assert found[f"{SITE}/same/__init__.py"][1] == b""
    assert b"from first import x" in found["app/venv/bin/run"][1]


def test_a_file_of_one_wheel_that_is_a_folder_of_another_is_refused(tmp_path: Path, cache: Cache) -> None:
    wheels = [write_wheel(tmp_path, "first", {"x": b""}), write_wheel(tmp_path, "second", {"x/y.py": b""})]
    with pytest.raises(WheelDamaged, match="folder"):
        make(only(wheels), cache, silent)


@pytest.mark.parametrize("size", [5_000, 400_000], ids=["small", "copied"])
def test_a_member_that_is_damaged_is_named(size: int, tmp_path: Path, cache: Cache) -> None:
    wheel = write_wheel(tmp_path, "pkg", {"pkg/data.bin": text(size)})
    path = tmp_path / wheel.filename
    data = bytearray(path.read_bytes())
    data[1500] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(WheelDamaged, match=r"pkg/data\.bin"):
        make(only([locked(path, "pkg")]), cache, silent)


def test_what_progress_raises_ends_the_making_and_leaves_nothing(tmp_path: Path, cache: Cache) -> None:
    def stop(event: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(only(three(tmp_path / "w")), cache, stop)
    assert [path for path in (cache.root / "layers").rglob("*") if path.is_file()] == []


STOPPED = """
import sys, time
from pathlib import Path
from notebook_federator.image.cache import Cache
from notebook_federator.image.layers import make, plan
sys.path.insert(0, sys.argv[3])
from small_wheels import locked

def tell(event):
    if event["state"] == "making":
        print("making", flush=True)
        time.sleep(60)

(only,) = plan([locked(Path(sys.argv[2]), "pkg")], "3.11")
make(only, Cache(Path(sys.argv[1])), tell)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_in_the_middle_leaves_a_cache_that_works(tmp_path: Path, cache: Cache) -> None:
    wheel = write_wheel(tmp_path, "pkg", {"pkg/data.bin": text(400_000)})
    arguments = [str(cache.root), str(tmp_path / wheel.filename), os.path.dirname(__file__)]
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"making\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    process.stdout.close()
    assert list((cache.root / "layers").iterdir()) == []
    assert verified(make(only([wheel]), cache, silent))


def test_a_wheel_that_is_not_there_is_said(tmp_path: Path, cache: Cache) -> None:
    wheels = three(tmp_path / "w")
    (tmp_path / "w" / wheels[1].filename).unlink()
    with pytest.raises(WheelUnreachable, match=r"two-1\.0"):
        make(only(wheels), cache, silent)


IMPORT_ALL = """
import importlib, json, sys, sysconfig
from pathlib import Path
names = sorted({path.name.partition(".")[0] for path in Path(sysconfig.get_paths()["purelib"]).iterdir()})
names = [name for name in names if not name.startswith("_") and "-" not in name]
for name in names:
    importlib.import_module(name)
print(json.dumps([names, sys.flags.isolated, sys.prefix]))
"""


def test_every_module_of_an_unpacked_layer_can_be_imported(tmp_path: Path, cache: Cache) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (planned,) = plan(three(tmp_path / "w"), version)
    root = tmp_path / "image"
    with make(planned, cache, silent).content.open() as opened, tarfile.open(fileobj=opened) as archive:
        archive.extractall(root, filter="data")
    venv = root / "app" / "venv"
    (venv / "bin").mkdir(exist_ok=True)
    base = Path(sys.base_prefix) / "bin" / f"python{version}"
    if not base.exists():
        pytest.skip("no interpreter to make a relocated environment of")
    (venv / "bin" / "python3").symlink_to(base)
    (venv / "pyvenv.cfg").write_text(f"home = {base.parent}\nversion = {version}\n")
    command = [str(venv / "bin" / "python3"), "-I", "-B", "-c", IMPORT_ALL]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(found.stdout) == [["one", "three", "two"], 1, str(venv)]
