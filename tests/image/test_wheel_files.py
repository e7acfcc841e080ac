"""What a wheel puts where: against the `installer` library; and wheels that nobody should install."""

import copy
import csv
import posixpath
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from notebook_federator.image import stripping, wheel_zip
from notebook_federator.image.cache import Cache
from notebook_federator.image.errors import WheelDamaged
from notebook_federator.image.layers import make, plan
from notebook_federator.image.places import site_packages
from notebook_federator.image.wheel_files import read_wheel
from notebook_federator.locking.shapes import LockedWheel
from small_wheels import locked, noise, silent, text, tree, write_wheel

SITE = site_packages("3.11")
EVERYTHING = {
    "pkg/__init__.py": b"answer = 42\n",
    "pkg/tool.sh": b"#!/bin/sh\n",
    "pkg/big.bin": text(400_000),
    "pkg/stored.bin": noise(2_500_000),
    "pkg/é.txt": "é".encode(),
    "pkg/empty.txt": b"",
    "pkg-1.0.data/purelib/pure/a.py": b"a = 1\n",
    "pkg-1.0.data/platlib/plat/b.py": b"b = 1\n",
    "pkg-1.0.data/data/share/doc/c.txt": b"c",
    "pkg-1.0.data/scripts/run": b"#!python\nprint(1)\n",
    "pkg-1.0.data/scripts/runw": b"#!pythonw\r\nprint(2)\n",
    "pkg-1.0.data/scripts/shell": b"#!/bin/sh\ntrue\n",
    "pkg-1.0.dist-info/licenses/LICENSE": b"free",
    "pkg-1.0.dist-info/entry_points.txt": (
        b"[console_scripts]\nSay-It = pkg.cli:app.run [extra]\n[gui_scripts]\nshow=pkg:main\n[other]\nx = y\n"
    ),
}


def installed(wheel: LockedWheel, path: Path, tmp_path: Path) -> dict[str, tuple[int, bytes]]:
    """What the `installer` library makes of the same wheel."""
    library = pytest.importorskip("installer", reason="the oracle is not installed (pip install installer)")
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile

    root = tmp_path / "installed"
    schemes = {name: f"/{SITE}" for name in ("purelib", "platlib")}
    schemes |= {"scripts": "/app/venv/bin", "data": "/app/venv", "headers": f"/app/venv/include/{wheel.name}"}
    interpreter = "/app/venv/bin/python3"  # it makes a shell script where there are arguments
    destination = SchemeDictionaryDestination(schemes, interpreter, "posix", destdir=str(root))
    with WheelFile.open(path) as source:
        library.install(source, destination, {})
    files = [found for found in root.rglob("*") if found.is_file()]
    return {
        found.relative_to(root).as_posix(): (found.stat().st_mode & 0o111, found.read_bytes())
        for found in files
        if "include" not in found.relative_to(root).parts[:3]  # C headers are left out
    }


def assert_equal_trees(wheel: LockedWheel, path: Path, tmp_path: Path) -> None:
    (only,) = plan([wheel], "3.11")
    ours = tree(make(only, Cache(tmp_path / "cache"), silent))
    theirs = installed(wheel, path, tmp_path)
    left_out = stripping.rule_for(wheel.name)
    expected = {name for name in theirs if not left_out(name.removeprefix(f"{SITE}/"))}
    assert ours.keys() == expected
    for name in sorted(expected):
        mode, data = ours[name]
        assert (mode & 0o111 != 0) == (theirs[name][0] != 0), name
        if name.endswith("/RECORD") and name.count("/") == SITE.count("/") + 2:  # no vendored one
            assert_equal_records(data.decode(), theirs[name][1].decode(), ours)
        elif b"re.sub(" in theirs[name][1]:  # made from an entry point
            assert set(lines(data)) <= set(lines(theirs[name][1])), name
        else:
            assert data.replace(b"python3 -I", b"python3") == theirs[name][1], name


def lines(program: bytes) -> list[bytes]:
    """What a program does, whatever names and blanks stand around it."""
    found = [line.strip() for line in program.replace(b"python3 -I", b"python3").splitlines()]
    return [line.replace(b"'", b'"') for line in found]


def assert_equal_records(ours: str, theirs: str, files: dict[str, tuple[int, bytes]]) -> None:
    """The same lines for the same files; each file once."""
    own, other = rows(ours), rows(theirs)
    assert own.keys() == files.keys() <= other.keys()
    assert len(own) == len(ours.splitlines())
    for path, hash_and_size in own.items():
        assert hash_and_size == other[path] or "/bin/" in path or path.endswith("/RECORD"), path


def rows(record: str) -> dict[str, list[str]]:
    """Path in the layer -> hash and size."""
    found = csv.reader(record.splitlines())
    return {posixpath.normpath(f"{SITE}/{row[0]}"): row[1:] for row in found}


def test_a_wheel_with_everything_is_installed_as_the_specification_says(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "pkg", EVERYTHING)
    assert_equal_trees(wheel, tmp_path / wheel.filename, tmp_path)


def test_stored_members_are_taken_too(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "pkg", EVERYTHING, method=zipfile.ZIP_STORED)
    assert_equal_trees(wheel, tmp_path / wheel.filename, tmp_path)


REAL = ("click", "packaging", "typing_extensions", "installer", "idna")


@pytest.mark.parametrize("name", REAL)
def test_real_wheels_are_installed_as_installer_does(name: str, real_wheel: Callable[[str], Path]) -> None:
    path = real_wheel(name)
    version = path.name.split("-")[1]
    wheel = locked(path, name.replace("_", "-"), version)
    assert_equal_trees(wheel, path, path.parent)


@pytest.fixture
def real_wheel(tmp_path: Path) -> Callable[[str], Path]:
    """Wheels made again from what is installed here: real metadata, programs and layouts."""

    def find(name: str) -> Path:
        from importlib import metadata

        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
        files: dict[str, bytes] = {}
        for file in distribution.files or ():
            if not str(file).startswith("..") and "__pycache__" not in str(file) and file.name not in OURS:
                files[file.as_posix()] = Path(str(file.locate())).read_bytes()
        info = next(file.parts[0] for file in distribution.files or () if file.name == "METADATA")
        made = write_wheel(tmp_path, name, files, version=distribution.version, dist_info=info)
        return tmp_path / made.filename

    return find


OURS = {"RECORD", "WHEEL", "METADATA", "INSTALLER", "REQUESTED", "direct_url.json"}


def test_programs_run_with_the_images_interpreter_alone(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "pkg", EVERYTHING)
    contents = read_wheel(tmp_path / wheel.filename, wheel, "3.11")
    programs = {file.path: file for file in contents.files if file.path.startswith("app/venv/bin/")}
    assert {path.rpartition("/")[2] for path in programs} == {"run", "runw", "shell", "Say-It", "show"}
    assert programs["app/venv/bin/run"].source == b"#!/app/venv/bin/python3 -I\nprint(1)\n"
    said = programs["app/venv/bin/Say-It"].source
    assert isinstance(said, bytes)
    assert b"from pkg.cli import app\n" in said
    assert b"sys.exit(app.run())" in said


def test_what_is_left_out_is_told_and_not_in_record(tmp_path: Path) -> None:
    files = {
        "torch/__init__.py": b"",
        "torch/bin/torch_shm_manager": b"needed",
        "torch/bin/protoc-3.13": b"not needed",
        "torch/test/api": noise(1000),
        "torch-1.0.data/headers/torch.h": b"int x;",
        "torch/__pycache__/a.cpython-39.pyc": b"",
    }
    wheel = write_wheel(tmp_path, "torch", files)
    contents = read_wheel(tmp_path / wheel.filename, wheel, "3.12")
    kept = [file.path.removeprefix(site_packages("3.12") + "/") for file in contents.files]
    assert kept[-2:] == ["torch/__init__.py", "torch/bin/torch_shm_manager"]
    record = contents.files[1].source
    assert isinstance(record, bytes)
    assert b"protoc" not in record
    assert {(each.pattern, each.files, each.size) for each in contents.left_out} == {
        ("*.data/headers/*", 1, 6),
        ("*/__pycache__/*", 1, 0),
        ("torch/bin/protoc*", 1, 10),
        ("torch/test/*", 1, 1000),
    }
    assert all(each.reason and each.distribution == "torch" for each in contents.left_out)


def test_nothing_is_left_out_of_what_is_not_named(tmp_path: Path) -> None:
    """scikit-image reads its .pyi files at run time, CuPy its headers."""
    files = {"pkg/__init__.pyi": b"x: int", "pkg/include/a.h": b"", "pkg/tests/data.py": b"", "pkg/l.a": b""}
    wheel = write_wheel(tmp_path, "pkg", files)
    assert read_wheel(tmp_path / wheel.filename, wheel, "3.11").left_out == ()


BAD = {
    "absolute": {"/etc/passwd": b"x"},
    "parent": {"pkg/../../x": b"x"},
    "backslash": {"pkg\\..\\x": b"x"},
    "empty part": {"pkg//x": b"x"},
    "control character": {"pkg/a\nb": b"x"},
    "scheme": {"pkg-1.0.data/elsewhere/x": b"x"},
    "data itself": {"pkg-1.0.data/scripts/": b"", "pkg-1.0.data/x": b"x"},
    "entry point": {"pkg-1.0.dist-info/entry_points.txt": b"[console_scripts]\nx = no reference"},
    "entry point's name": {"pkg-1.0.dist-info/entry_points.txt": b"[console_scripts]\n../x = a:b"},
    "entry points": {"pkg-1.0.dist-info/entry_points.txt": b"nonsense"},
    "twice over schemes": {"a.py": b"1", "pkg-1.0.data/purelib/a.py": b"2"},
    "two distributions": {"other-1.0.dist-info/METADATA": b""},
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_wheel_that_no_one_should_install_is_refused(kind: str, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "pkg", BAD[kind])
    with pytest.raises(WheelDamaged) as caught:
        read_wheel(tmp_path / wheel.filename, wheel, "3.11")
    assert wheel.filename in caught.value.what


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "pkg", {"a.py": b"1"})
    path = tmp_path / wheel.filename
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.py", b"2")
    with pytest.raises(WheelDamaged, match="two members of one name"):
        read_wheel(path, locked(path, "pkg"), "3.11")


@pytest.mark.parametrize("name", ["other", "pkg"])
def test_a_wheel_of_another_distribution_or_version_is_refused(name: str, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "pkg", {"a.py": b"1"})
    path = tmp_path / wheel.filename
    with pytest.raises(WheelDamaged, match="instead of"):
        read_wheel(path, locked(path, name, "1.0" if name == "other" else "1.1"), "3.11")


def test_names_are_compared_as_the_specification_normalises_them(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "Some.Package_x", {"a.py": b"1"}, version="1.0.0")
    path = tmp_path / wheel.filename
    assert read_wheel(path, locked(path, "some-package-x", "1.0"), "3.11").files


def test_a_wheel_of_a_later_format_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "pkg", {"a.py": b"1"}, wheel_version="2.0")
    with pytest.raises(WheelDamaged, match="Wheel-Version"):
        read_wheel(tmp_path / wheel.filename, wheel, "3.11")


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pkg-1.0-py3-none-any.whl"
    path.write_bytes(noise(5000))
    with pytest.raises(WheelDamaged, match="not a zip file"):
        read_wheel(path, locked(path, "pkg"), "3.11")


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_zip, "EXPANDED", 1 << 20)
    wheel = write_wheel(tmp_path, "pkg", {"zeros": bytes(5 << 20)})
    with pytest.raises(WheelDamaged, match="unpack to"):
        read_wheel(tmp_path / wheel.filename, wheel, "3.11")


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "pkg", {"a": noise(50_000)})
    path = tmp_path / wheel.filename
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b", b"")
        again = copy.copy(archive.getinfo("a"))
        again.filename = again.orig_filename = "c"
        archive.filelist.append(again)
    with pytest.raises(WheelDamaged, match="overlap"):
        read_wheel(path, locked(path, "pkg"), "3.11")


def test_a_compression_that_wheels_do_not_use_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "pkg", {"a": b"1" * 1000}, method=zipfile.ZIP_LZMA)
    with pytest.raises(WheelDamaged, match="compressed in a way"):
        read_wheel(tmp_path / wheel.filename, wheel, "3.11")


def test_the_table_of_what_is_left_out_has_reasons_and_a_digest() -> None:
    assert all(rule.reason and rule.pattern for rule in stripping.RULES)
    assert len({(rule.distribution, rule.pattern) for rule in stripping.RULES}) == len(stripping.RULES)
    assert len(stripping.digest()) == 64
