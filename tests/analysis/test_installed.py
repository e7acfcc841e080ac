"""The quick look at what is installed answers as the standard library's slow one."""

import csv
import importlib
import os
import sys
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
from notebook_federator.analysis import installed


def dist_info(folder: Path, name: str, version: str, **files: str) -> None:
    """A distribution's metadata ``files`` (``top_level`` is ``top_level.txt``), and what RECORD lists."""
    made = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: another\n"
    )
    for file, text in files.items():
        (made / file.replace("top_level", "top_level.txt")).write_text(text)
    for path, *_ in csv.reader(files.get("RECORD", "").splitlines()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder first on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def slow_answer() -> Mapping[str, set[str]]:
    """What the standard library says, for names that can be imported as modules."""
    importlib.invalidate_caches()
    return {
        module: set(names)
        for module, names in metadata.packages_distributions().items()
        if module.isidentifier() and module != "__pycache__"
    }


def test_same_answer_for_every_module_of_this_environment() -> None:
    expected = slow_answer()
    assert "numpy" in expected
    assert {module: set(installed.distributions_of(module)) for module in expected} == expected


def test_same_version_for_every_distribution_of_this_environment() -> None:
    names = {found.metadata["Name"] for found in metadata.distributions()}
    assert len(names) > 20
    assert {name: installed.version_of(name) for name in names} == {
        name: metadata.version(name) for name in names
    }


def test_same_answer_for_odd_distributions(site_packages: Path) -> None:
    dist_info(site_packages, "space-storage", "1", RECORD="shared_space/storage/__init__.py,,\n")
    dist_info(site_packages, "space-auth", "1", RECORD="shared_space/auth/__init__.py,,\n")
    dist_info(
        site_packages, "one-file", "1", RECORD="one_file.py,sha256=a,1\none_file-1.dist-info/RECORD,,\n"
    )
    dist_info(site_packages, "editable", "1", RECORD="_editable.pth,,\neditable-1.dist-info/RECORD,,\n")
    dist_info(site_packages, "declared", "1", RECORD="hidden/__init__.py,,\n", top_level="shown\n_shown\n")
    dist_info(site_packages, "quoted", "1", RECORD='"quoted/a,b.py",,\nquoted/__init__.py,,\n')
    (site_packages / "old_egg-2.0.egg-info").write_text(
        "Metadata-Version: 1.0\nName: old-egg\nVersion: 2.0\n"
    )
    expected = slow_answer()
    assert expected["shared_space"] == {"space-storage", "space-auth"}
    for module in ("shared_space", "one_file", "editable", "hidden", "shown", "_shown", "quoted"):
        assert set(installed.distributions_of(module)) == expected.get(module, set()), module
    assert installed.version_of("Old.Egg") == "2.0"


def test_extension_modules_are_found(site_packages: Path) -> None:
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    dist_info(site_packages, "fast", "1", RECORD=f"_fast{suffix},sha256=a,1\nfast.txt,,\n")
    assert installed.distributions_of("_fast") == ("fast",)
    assert installed.distributions_of("fast") == ()


def test_archives_on_the_import_path_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped-3.dist-info/METADATA", "Metadata-Version: 2.1\nName: zipped\nVersion: 3\n")
        file.writestr("zipped-3.dist-info/RECORD", "zipped/__init__.py,,\n")
    monkeypatch.setattr(sys, "path", [str(archive), *sys.path])
    assert installed.distributions_of("zipped") == ("zipped",)
    assert installed.version_of("zipped") == "3"


def test_what_is_installed_meanwhile_is_seen(site_packages: Path) -> None:
    assert installed.distributions_of("later_on") == ()
    dist_info(site_packages, "later-on", "1", RECORD="later_on/__init__.py,,\n")
    os.utime(site_packages, (1, 1))
    assert installed.distributions_of("later_on") == ("later-on",)
    assert installed.version_of("later-on") == "1"


def test_without_metadata_nothing_is_claimed(site_packages: Path) -> None:
    (site_packages / "broken-1.dist-info").mkdir()
    (site_packages / "binary-1.dist-info").mkdir()
    (site_packages / "binary-1.dist-info" / "RECORD").write_bytes(b"\xff\xfe")
    assert installed.distributions_of("broken") == ()
    assert installed.version_of("broken") == ""
